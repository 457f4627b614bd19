"""The one reader of Notion for everybody: what was edited on contacts and records, and which of the next mails may go.

Two calls a minute. Where it does not run, or fails, each send reads for itself: see `edits` and `ahead`.
"""

from __future__ import annotations

import logging
import threading
from datetime import datetime, timedelta

from flows.sending import ahead
from flows.services.clients import NOTION, notion_client
from flows.services.prefect_api import Prefect
from flows.webhooks.background import begun

EVERY = timedelta(minutes=1)
ANOTHERS = timedelta(seconds=45)  # a look of another host's that is younger is as good as one's own
log = logging.getLogger("hublab.webhooks")


class Reader:
    """A thread that looks once a minute, unless the reader of another host has."""

    def __init__(self) -> None:
        """Nothing is read before `start`."""
        self._stop = threading.Event()
        self._thread = threading.Thread(name="reader", daemon=True)

    def start(self) -> None:
        """Begin, with the caller's context."""
        self._thread = begun("reader", self._loop)

    def stop(self, seconds: float = 10) -> None:
        """End; a look at work is left behind after so many seconds."""
        self._stop.set()
        self._thread.join(seconds)

    def _loop(self) -> None:
        while not self._stop.wait(EVERY.total_seconds()):
            try:
                once()
            except Exception as error:  # noqa: BLE001 - whatever it is, sends read for themselves meanwhile
                log.warning("Notion was not read ahead: %s: %s", type(error).__name__, error)


def once(now: datetime | None = None) -> bool:
    """Look, and whether it was needed; `now` is by Prefect's clock where none is given.

    Raises NotionError, and what Prefect's client raises.
    """
    with Prefect() as prefect:
        kept = prefect.variable(ahead.LIST)
        now = now or prefect.now()
        if kept and timedelta() <= now - datetime.fromisoformat(kept["looked"]) < ANOTHERS:
            return False
        with notion_client(prefect, prefect.settings(*NOTION)) as notion:
            ahead.look(prefect, notion, now)
    return True
