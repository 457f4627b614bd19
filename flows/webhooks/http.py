"""HTTP with bounds: how long a head, a body and an answer may take, how long a connection may be idle, and how many.

uvicorn bounds the idle time after an answer alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Mapping

HEAD_SECONDS, BODY_SECONDS, ANSWER_SECONDS, IDLE_SECONDS = 10.0, 20.0, 60.0, 15
CONNECTIONS = 512  # the unit's files are 4,096
MAX_HEAD, PIECE = 16 * 1024, 1024


class Bounded(H11Protocol):
    """One connection. A deadline holds from the beginning of a head, a body or an answer on, whatever trickles in."""

    head_seconds, body_seconds, answer_seconds = HEAD_SECONDS, BODY_SECONDS, ANSWER_SECONDS
    most = CONNECTIONS
    _deadline: asyncio.TimerHandle | None = None
    _reading: Any = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a connection, or end it where there are too many."""
        super().connection_made(transport)
        if len(self.connections) > self.most:
            transport.abort()
            return
        self._watch()

    def data_received(self, data: bytes) -> None:
        """See whether a head or a body has ended with this."""
        # In pieces: h11 bounds a head that is not whole yet, and one of any size may come whole.
        for start in range(0, len(data), PIECE):
            if self.transport.is_closing():
                return
            super().data_received(data[start : start + PIECE])
        self._watch()

    def on_response_complete(self) -> None:
        """The next head may begin; or, where it has come already, the next answer."""
        super().on_response_complete()
        self._reading = None
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is waited for any more."""
        self._set(None)
        super().connection_lost(exc)

    def _watch(self) -> None:
        found = self.conn.their_state
        if found == self._reading:
            return
        self._reading = found
        # Who sends one call behind the other and reads none of the answers would fill every buffer, and stay.
        times = {h11.IDLE: self.head_seconds, h11.SEND_BODY: self.body_seconds}
        self._set(times.get(found, self.answer_seconds))

    def _set(self, seconds: float | None) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = self.loop.call_later(seconds, self.transport.abort) if seconds is not None else None


def options() -> Mapping[str, Any]:
    """What uvicorn is told besides."""
    return {
        "http": Bounded,
        "ws": "none",
        "timeout_keep_alive": IDLE_SECONDS,
        "limit_concurrency": CONNECTIONS,
        "h11_max_incomplete_event_size": MAX_HEAD,
        "server_header": False,
    }
