"""The outside of the system: the public APIs of Prefect, Notion and Resend, read as any client of theirs would.

Nothing here writes. The stand-ins of the sandbox and the real services are asked in the same way.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from e2e.outside.notion import Notion
from e2e.outside.prefect import Prefect
from e2e.outside.resend import Resend

if TYPE_CHECKING:
    from collections.abc import Iterator

    from e2e.target import Target


@dataclass(frozen=True)
class Outside:
    """All three."""

    prefect: Prefect
    notion: Notion
    resend: Resend


@contextmanager
def opened(target: Target) -> Iterator[Outside]:
    """The three services that `.env` names, for as long as the block runs."""
    outside = Outside(Prefect(target), Notion(target), Resend(target))
    try:
        yield outside
    finally:
        for service in (outside.prefect, outside.notion, outside.resend):
            service.api.close()
