"""Stand-ins for Notion and Resend: they keep state, validate as documented, and misbehave on request."""
