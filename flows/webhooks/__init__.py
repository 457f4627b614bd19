"""The webhook app: what comes in from outside, and where it goes."""
