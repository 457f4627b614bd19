"""A real HTTP proxy before a real Prefect server, which can be told to misbehave."""

from __future__ import annotations

import asyncio
import contextlib
import re
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

LIMIT = 30.0
_AGAIN = re.compile(rb"HTTP/1\.1 5\d\d ")


@dataclass
class Hold:
    """A request that is stopped: before it reaches the server, or with the server's answer in hand."""

    pattern: re.Pattern[bytes]
    answered: bool
    drop: bool
    status: str
    seen: threading.Event = field(default_factory=threading.Event)
    go_on: threading.Event = field(default_factory=threading.Event)


@dataclass
class Fault:
    """What becomes of the requests that match: of each, or of the first alone."""

    pattern: re.Pattern[bytes]
    kind: str
    lasting: bool
    times: int = 0


class Proxy:
    """Forwards to the port `upstream`, one request per connection; websockets are passed through."""

    def __init__(self, upstream: int, host: str = "127.0.0.1") -> None:
        """Listen on a free port."""
        self._upstream = host, upstream
        self._loop = asyncio.new_event_loop()
        self._mode = "pass"
        self._holds: list[Hold] = []
        self._all_holds: list[Hold] = []
        self._faults: list[Fault] = []
        self._open: set[asyncio.StreamWriter] = set()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._server: asyncio.Server | None = None
        self.port = 0
        self.refused = 0
        self.asked: list[str] = []
        """Method and path of every request."""
        self.whole: list[bytes] = []
        """The same with headers and content, but for those that a busy server wants to be asked again."""
        self._run(self._listen())

    def close(self) -> None:
        """Stop."""
        for hold in self._all_holds:
            hold.go_on.set()
        self._run(self._stop())
        self._run(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(LIMIT)
        self._loop.close()

    @contextlib.contextmanager
    def misbehaving(self, mode: str) -> Iterator[None]:
        """For a while: "refuse" connections, "hang" without an answer, or answer every request with a status, "401"."""
        self.refused, self._mode = 0, mode
        if mode == "refuse":
            self._run(self._stop())
        else:
            self._run(self._cut())
        try:
            yield
        finally:
            self._mode = "pass"
            self._run(self._cut())
            if mode == "refuse":
                self._run(self._listen())

    def hold(self, pattern: bytes, *, answered: bool = False, drop: bool = False, status: str = "") -> Hold:
        """Stop the next request that matches; `answered`: once the server has dealt with it.

        `drop`: lose that answer. `status`: answer so in the server's stead.
        """
        hold = Hold(re.compile(pattern, re.DOTALL), answered, drop, status)
        self._holds.append(hold)
        self._all_holds.append(hold)
        return hold

    def fail(self, pattern: bytes, kind: str, *, lasting: bool = True) -> Fault:
        """From now on answer what matches with a status ("403"), "drop" its connection, let it "hang", or "garble"."""
        self._faults.append(fault := Fault(re.compile(pattern, re.DOTALL), kind, lasting))
        return fault

    def _run(self, work: object) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(LIMIT)  # type: ignore[arg-type]

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _stop(self) -> None:
        if self._server:
            self._server.close()
        await self._cut()

    async def _end(self) -> None:
        # A task that pauses in a thread ends by itself: close() lets it go on.
        rest = asyncio.all_tasks() - {asyncio.current_task()}
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)

    async def _cut(self) -> None:
        for writer in tuple(self._open):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, OSError):
            await self._answer(reader, writer)
        self._open.discard(writer)
        writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        if self._mode == "hang":
            self.refused += 1
            await reader.read()
            return
        self.asked.append(b" ".join(head.split(b" ", 2)[:2]).decode())
        length = re.search(rb"content-length: *(\d+)", head, re.IGNORECASE)
        body = await reader.readexactly(int(length[1])) if length else b""
        self.whole.append(head + body)
        if self._mode.isdigit():
            self.refused += 1
            await _refuse(self._mode, writer)
            return
        for fault in self._faults:
            if (fault.lasting or not fault.times) and fault.pattern.search(head + body):
                fault.times += 1
                await _fail(fault.kind, reader, writer)
                return
        hold = next((hold for hold in self._holds if hold.pattern.search(head + body)), None)
        if hold:
            self._holds.remove(hold)
        if hold and hold.status:
            hold.seen.set()
            await _refuse(hold.status, writer)
            return
        if hold and not hold.answered:
            await self._pause(hold)
        await self._forward(head, body, reader, writer, hold)

    async def _forward(
        self,
        head: bytes,
        body: bytes,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        hold: Hold | None,
    ) -> None:
        asked = head + body
        above, below = await asyncio.open_connection(*self._upstream)
        try:
            if re.search(rb"upgrade: *websocket", head, re.IGNORECASE):
                below.write(head)
                await asyncio.gather(_pour(reader, below), _pour(above, writer))
                return
            head = re.sub(rb"\r\nconnection:[^\r]*", b"", head, flags=re.IGNORECASE)
            below.write(head[:-4] + b"\r\nConnection: close\r\n\r\n" + body)
            answer = await above.read()
            if _AGAIN.match(answer):
                with contextlib.suppress(ValueError):  # somebody has begun to count anew meanwhile
                    self.whole.remove(asked)
            if hold and hold.answered:
                await self._pause(hold)
                if hold.drop:
                    writer.transport.abort()
                    return
            writer.write(answer)
            await writer.drain()
        finally:
            below.close()

    async def _pause(self, hold: Hold) -> None:
        hold.seen.set()
        if not hold.drop:
            await asyncio.to_thread(hold.go_on.wait, 4 * LIMIT)


async def _fail(kind: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    if kind == "drop":
        writer.transport.abort()
    elif kind == "hang":
        await reader.read()
    elif kind == "garble":
        await _refuse("200", writer)
    else:
        await _refuse(kind, writer)


async def _refuse(status: str, writer: asyncio.StreamWriter) -> None:
    writer.write(f"HTTP/1.1 {status} No\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{{}}".encode())
    await writer.drain()


async def _pour(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await source.read(65536):
            sink.write(data)
            await sink.drain()
    sink.close()
