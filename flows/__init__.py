"""What the workers run: the campaign that sends mails, each exactly once or with a clear error."""
