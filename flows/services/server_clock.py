"""What time it is by Prefect's server, which is one for all hosts: how old something is, no host's own clock decides.

Each answer of the server's says it, to the second that had begun; from then on this process counts by itself.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import httpx

# An answer may have been on its way for so long: one that says it is earlier than that takes nothing back.
SLOW = timedelta(minutes=1)


class ServerClock:
    """The server's clock as far as its answers tell."""

    def __init__(self) -> None:
        """Nothing is known yet."""
        self._seen: tuple[datetime, float] | None = None

    @property
    def known(self) -> bool:
        """Whether an answer has told."""
        return self._seen is not None

    def hear(self, answer: httpx.Response) -> None:
        """Take the time from an answer's `Date`; one without it, or that nobody can read, tells nothing."""
        try:
            said = parsedate_to_datetime(answer.headers["date"])
        except (KeyError, ValueError):
            return
        said = said if said.tzinfo else said.replace(tzinfo=UTC)
        if self._seen is None or not timedelta() <= self.now() - said < SLOW:
            self._seen = (said, time.monotonic())

    def now(self) -> datetime:
        """The time in UTC; the host's own where no answer has told."""
        if self._seen is None:
            return datetime.now(UTC)
        said, since = self._seen
        return said + timedelta(seconds=time.monotonic() - since)


clock = ServerClock()  # of the one server that a process asks
