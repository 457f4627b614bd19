"""The outside of the system: the public APIs of Prefect, Notion and Resend, and a mailbox, read as any client would.

Nothing here writes. The stand-ins of the sandbox and the real services are asked in the same way.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from e2e.outside.mailbox import Mailbox
from e2e.outside.notion import Notion
from e2e.outside.prefect import Prefect
from e2e.outside.resend import Resend

if TYPE_CHECKING:
    from collections.abc import Iterator

    from e2e.target import Target


@dataclass(frozen=True)
class Outside:
    """All of it; the mailbox where one is named."""

    prefect: Prefect
    notion: Notion
    resend: Resend
    mailbox: Mailbox | None = None


@contextmanager
def opened(target: Target) -> Iterator[Outside]:
    """What `.env` names, for as long as the block runs."""
    mailbox = Mailbox(target["TESTING_MAILBOX"]) if target["TESTING_MAILBOX"] else None
    outside = Outside(Prefect(target), Notion(target), Resend(target), mailbox)
    try:
        yield outside
    finally:
        if mailbox:
            mailbox.close()
        for service in (outside.prefect, outside.notion, outside.resend):
            service.api.close()
