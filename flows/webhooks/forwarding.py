"""Takes what waits in the spool to where it belongs: enrolments and who has left to Prefect, events to Notion."""

from __future__ import annotations

import logging
import threading
import time
from contextlib import contextmanager
from itertools import batched
from typing import TYPE_CHECKING, Any

import httpx

from flows.campaigns.model import sequence as find_sequence
from flows.enrolment import handlers
from flows.recipients import confirmation, suppression
from flows.sending.analytics import Rows
from flows.services.clients import NOTION, notion_client
from flows.services.errors import UnavailableError
from flows.services.prefect_api import Prefect
from flows.webhooks import booked, events
from flows.webhooks.background import begun

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from flows.webhooks.spool import Spool

Entry = dict[str, Any]

SERVER_ERROR = 500
PAUSE_FIRST, PAUSE_MOST = 0.5, 5.0
BATCH = 50  # events that share one query of Notion's
log = logging.getLogger("hublab.webhooks")


class Forwarder:
    """A thread that empties the spool; what it cannot deliver stays and is tried again."""

    def __init__(self, spool: Spool) -> None:
        """Nothing is forwarded before `start`."""
        self.spool = spool
        self._wake, self._stop = threading.Event(), threading.Event()
        self._thread = threading.Thread(name="forwarder", daemon=True)
        self.trouble: str | None = None
        self._rows = Rows()
        # When something may have been written that this process does not know: by the one before it, at the latest now.
        self._doubt = time.monotonic()
        # Bookings that wait for Notion's queries: whose each is, and since when.
        self._since: dict[str, tuple[str, float]] = {}

    def start(self) -> None:
        """Begin, with the caller's context."""
        self._thread = begun("forwarder", self._loop)

    def stop(self, seconds: float = 10) -> None:
        """End after the entry in hand; what is left stays on disk."""
        self._stop.set()
        self._wake.set()
        self._thread.join(seconds)

    def notify(self) -> None:
        """Something new is in the spool."""
        self._wake.set()

    def _loop(self) -> None:
        pause = PAUSE_FIRST
        while not self._stop.is_set():
            self._wake.clear()
            try:
                self.once()
                self.trouble, pause = None, PAUSE_FIRST
            except Exception as error:  # noqa: BLE001 - whatever it is, the entries stay and are tried again
                self.trouble = f"{type(error).__name__}: {error}"
                log.warning("forwarding stopped, %d wait: %s", self.spool.waiting, self.trouble)
                self._stop.wait(pause)
                pause = min(pause * 2, PAUSE_MOST)
                continue
            self._wake.wait(PAUSE_MOST)

    def once(self) -> int:
        """Forward all that waits; how many went. Raises what the first service that is away raises."""
        count, failed = 0, None
        if not self.spool.look():
            return 0
        with Prefect() as prefect:
            for batch in batched(self.spool.entries(), BATCH):
                with self._delivery(prefect, batch) as deliver:
                    for path, entry in batch:
                        if self._stop.is_set():
                            return count
                        try:
                            deliver(entry)
                        except booked.NotShownYetError:
                            continue
                        except Exception as error:
                            self._doubt = time.monotonic()
                            if _away(error):
                                raise
                            # This one cannot go now; the others must not wait for it.
                            failed = failed or error
                            continue
                        self.spool.done(path)
                        self._waits_no_more(entry["key"])
                        count += 1
        if failed is not None:
            raise failed
        return count

    def _waits_no_more(self, key: str) -> None:
        """It may have made its contact, which the person's others that wait must see, so that they wait anew."""
        who, _ = self._since.pop(key, ("", 0.0))
        others = [other for other, (whose, _) in self._since.items() if whose == who]
        self._since |= dict.fromkeys(others, (who, time.monotonic()))

    @contextmanager
    def _delivery(self, prefect: Prefect, batch: tuple[tuple[Path, Entry], ...]) -> Iterator[Callable[[Entry], None]]:
        """What delivers an entry of a batch; all its events share a client of Notion, and one query."""
        happened = [entry["event"] for _, entry in batch if entry["kind"] == "event"]
        if not happened and any(entry["kind"] == "booking" for _, entry in batch):
            settings = prefect.settings(*NOTION)
            lag = settings.number("HUBLAB_NOTION_LAG_SECONDS")

            def waited(entry: Entry) -> bool:
                now = time.monotonic()
                _, since = self._since.setdefault(entry["key"], (entry["booking"]["email"], now))
                return now - since >= lag

            with notion_client(prefect, settings) as notion:
                yield lambda entry: booked.apply(prefect, notion, entry["booking"], lambda: waited(entry))
            return
        if not happened:
            yield lambda entry: to_prefect(prefect, entry)
            return
        settings, gone = prefect.settings(*NOTION), suppression.erased(prefect, {one["email"] for one in happened})
        mails = {one["email_id"] for one in happened if "email_id" in one and one["email"] not in gone}
        with notion_client(prefect, settings) as notion:
            if self._rows.unknown(mails):
                # A query does not show what was written just before.
                lag = settings.number("HUBLAB_NOTION_LAG_SECONDS")
                self._stop.wait(max(0.0, self._doubt + lag - time.monotonic()))
                self._rows.learn(notion, mails)

            def deliver(entry: Entry) -> None:
                to_prefect(prefect, entry)
                if entry["kind"] == "event" and entry["event"]["email"] not in gone:
                    events.apply(notion, self._rows, entry["event"])

            yield deliver


def to_prefect(prefect: Prefect, entry: Entry) -> None:
    """What of an entry belongs to Prefect: a run, an alarm, or that an address has left. Raises as `start`."""
    if entry["kind"] == "enrolment":
        start(prefect, entry)
    elif entry["kind"] == "confirmation":
        confirmation.record(prefect, entry["enrolment"], entry["at"])
    elif entry["kind"] == "alarm":
        prefect.alarm(entry["alarm"], entry["text"])
    else:
        events.suppress(prefect, entry["event"])


def start(prefect: Prefect, entry: Entry) -> None:
    """Have an enrolment's handler run, once. Raises what Prefect's client raises, CampaignError."""
    sequence = find_sequence(entry["campaign"], entry["sequence"])
    handlers.start(prefect, sequence, entry["key"], entry["payload"], entry["received_at"])


def _away(error: Exception) -> bool:
    """Whether a service is away, so that the next entry would fare no better."""
    status = error.response.status_code if isinstance(error, httpx.HTTPStatusError) else 0
    return isinstance(error, httpx.TransportError | UnavailableError) or status >= SERVER_ERROR


def age(path_time: float | None) -> float:
    """Seconds since a Unix time; 0 for none."""
    return 0.0 if path_time is None else max(0.0, time.time() - path_time)
