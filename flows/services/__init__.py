"""The clients of Notion, Resend and Prefect, and what they are told: imports nothing of the other rooms."""
