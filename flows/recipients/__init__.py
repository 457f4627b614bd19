"""Who may get a mail, and how one leaves."""
