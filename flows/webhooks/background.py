"""What the webhooks' process does beside answering."""

from __future__ import annotations

import contextvars
import logging
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import timedelta

# Waits so many seconds, or until the process is to end: then it is True.
type Wait = Callable[[float], bool]
log = logging.getLogger("hublab.webhooks")


def begun(name: str, work: Callable[[], None]) -> threading.Thread:
    """A thread at work, with the caller's context: Prefect keeps its settings there. It ends with the process."""
    thread = threading.Thread(target=contextvars.copy_context().run, args=(work,), name=name, daemon=True)
    thread.start()
    return thread


class Repeated:
    """A thread that does something again and again."""

    def __init__(self, name: str, every: timedelta, work: Callable[[Wait], object], failed: str) -> None:
        """Nothing is done before `start`, nor in the first `every`; `failed` says what is so when it has not worked."""
        self._name, self._every, self._work, self._failed = name, every, work, failed
        self._stop = threading.Event()
        self._thread = threading.Thread(name=name, daemon=True)

    def start(self) -> None:
        """Begin, with the caller's context."""
        self._thread = begun(self._name, self._loop)

    def stop(self, seconds: float = 10) -> None:
        """End; what is at work is left behind after so many seconds."""
        self._stop.set()
        self._thread.join(seconds)

    def _loop(self) -> None:
        while not self._stop.wait(self._every.total_seconds()):
            try:
                self._work(self._stop.wait)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is tried again
                log.warning("%s: %s: %s", self._failed, type(error).__name__, error)
