"""What can go wrong at the services that the flows call: told apart by class, without importing anyone's SDK."""

from __future__ import annotations


class ServerError(LookupError):
    """No Prefect server that can be worked with: says which setting is wrong, its value and the remedy."""


class UnavailableError(Exception):
    """A service did not answer well within the time for retries: to be tried again later."""


class NotionError(Exception):
    """A call to Notion that failed for good: what was called, Notion's status, code and message."""


class NotionMissingError(NotionError):
    """What was asked for is not there, or not shared with the integration."""


class NotionNoOptionError(NotionError):
    """A filter named an option that its property does not have."""


class NotionTooManyError(NotionError):
    """More pages of a database match than Notion answers to a query."""

    def __init__(self, where: str) -> None:
        """`where` is its title."""
        super().__init__(
            f"query {where}: Notion's answer is incomplete: more than 10,000 pages match that were created within one "
            "minute, more than it ever answers; delete what an import has made twice"
        )


class NotionUnavailableError(NotionError, UnavailableError):
    """Notion is away."""


class ResendFailedError(Exception):
    """Resend refused for good: its status, error type and message.

    `nothing_sent` says that every attempt of the call was answered, and by a refusal: no mail has gone out by it.
    """

    def __init__(self, message: str, *, nothing_sent: bool = False) -> None:
        """`message` names what was called and what Resend answered."""
        super().__init__(message)
        self.nothing_sent = nothing_sent


class ResendUnavailableError(ResendFailedError, UnavailableError):
    """Resend is away."""


class ResendQuotaError(ResendUnavailableError):
    """The day's or the month's quota of mails is used up: to be tried again when it is reset."""


class ResendConflictError(ResendFailedError):
    """The idempotency key was used with another payload: a mail went out under it that is not this one."""


class WithheldError(Exception):
    """A mail that is not wanted any more, as was found in the moment before it would have been sent.

    `tried` says that it may have gone out all the same: by a try before, whose outcome nobody saw.
    """

    def __init__(self, reason: str, *, tried: bool) -> None:
        """`reason` is why it is not wanted."""
        super().__init__(reason)
        self.reason, self.tried = reason, tried
