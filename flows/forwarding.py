"""Takes what waits in the spool to where it belongs: enrolments to Prefect, events to Notion."""

from __future__ import annotations

import contextvars
import logging
import threading
import time
from typing import TYPE_CHECKING, Any

import httpx

from flows import events
from flows.campaign import GENERIC_HANDLER
from flows.campaign import sequence as find_sequence
from flows.doors import notion_door
from flows.prefect_api import Prefect

if TYPE_CHECKING:
    from flows.spool import Spool

SERVER_ERROR = 500
PAUSE_FIRST, PAUSE_MOST = 0.5, 10.0
log = logging.getLogger("hublab.webhooks")


class Forwarder:
    """A thread that empties the spool; what it cannot deliver stays and is tried again."""

    def __init__(self, spool: Spool) -> None:
        """Nothing is forwarded before `start`."""
        self.spool = spool
        self._wake, self._stop = threading.Event(), threading.Event()
        self._thread = threading.Thread(name="forwarder", daemon=True)
        self.trouble: str | None = None

    def start(self) -> None:
        """Begin, with the caller's context: Prefect keeps its settings there."""
        context = contextvars.copy_context()
        self._thread = threading.Thread(target=context.run, args=(self._loop,), name="forwarder", daemon=True)
        self._thread.start()

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
        if not self.spool.waiting:
            return 0
        with Prefect() as prefect:
            for path, entry in self.spool.entries():
                if self._stop.is_set():
                    break
                try:
                    self._forward(prefect, entry)
                except Exception as error:
                    if _away(error):
                        raise
                    # This one cannot go now; the others must not wait for it.
                    failed = failed or error
                    continue
                self.spool.done(path)
                count += 1
        if failed is not None:
            raise failed
        return count

    def _forward(self, prefect: Prefect, entry: dict[str, Any]) -> None:
        if entry["kind"] == "event":
            with notion_door(prefect, prefect.settings()) as notion:
                events.apply(notion, entry["event"])
            return
        sequence = find_sequence(entry["campaign"], entry["sequence"])
        parameters = {"payload": entry["payload"], "received_at": entry["received_at"]}
        if sequence.handler == GENERIC_HANDLER:
            parameters |= {"campaign": sequence.campaign, "sequence": sequence.name}
        deployment = f"{sequence.handler}/{sequence.handler}"
        tags = (f"campaign:{sequence.campaign}", f"enrolment:{entry['key']}")
        prefect.start_once(deployment, parameters, entry["key"], tags=tags)


def _away(error: Exception) -> bool:
    """Whether a service is away, so that the next entry would fare no better."""
    status = error.response.status_code if isinstance(error, httpx.HTTPStatusError) else 0
    return isinstance(error, httpx.TransportError) or status >= SERVER_ERROR or "Unavailable" in type(error).__name__


def age(path_time: float | None) -> float:
    """Seconds since a Unix time; 0 for none."""
    return 0.0 if path_time is None else max(0.0, time.time() - path_time)
