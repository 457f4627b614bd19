"""Campaigns as data: what a file of a campaign may say, and what a webhook's payload must be. Pure."""
