"""What can go wrong at the services that the flows call: told apart by class, without importing anyone's SDK."""

from __future__ import annotations


class UnavailableError(Exception):
    """A service did not answer well within the time for retries: to be tried again later."""


class NotionError(Exception):
    """A call to Notion that failed for good: what was called, Notion's status, code and message."""


class NotionMissingError(NotionError):
    """What was asked for is not there, or not shared with the integration."""


class NotionUnavailableError(NotionError, UnavailableError):
    """Notion is away."""


class ResendFailedError(Exception):
    """Resend refused for good: its status, error type and message."""


class ResendUnavailableError(ResendFailedError, UnavailableError):
    """Resend is away, or a quota is used up."""


class ResendConflictError(ResendFailedError):
    """The idempotency key was used with another payload: a mail went out under it that is not this one."""
