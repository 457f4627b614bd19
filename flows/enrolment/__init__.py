"""A contact is recorded in Notion, and the runs of the mails are created."""
