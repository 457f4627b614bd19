"""One forked engine as the worker sees it: not its child, but the fork server's, which reports its end."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

import anyio

from worker import process_stat
from worker.forked_engine import LENGTH, READY

if TYPE_CHECKING:
    from collections.abc import Callable

    from worker.forked_engine import Order

REPORT_SECONDS = 30.0
"""How long the fork server may take to report an engine that has ended."""


@dataclass
class End:
    """What the fork server says of an engine's end: a wait status, or None from a server that died before."""

    overdue: Callable[[], None]
    said: asyncio.Event = field(default_factory=asyncio.Event)
    status: int | None = None

    def say(self, status: int | None) -> None:
        """The server has spoken, or died."""
        self.status = status
        self.said.set()


class ForkedProcess:
    """As much of `anyio.abc.Process` as Prefect's executor needs. `returncode` is None also when nobody saw the end."""

    def __init__(self, pid: int, watch: int, end: End) -> None:
        """`watch` is a pidfd of the process."""
        self.pid = pid
        self.returncode: int | None = None
        self._watch = watch
        self._end = end
        self._waited = False

    @classmethod
    async def meet(cls, line: socket.socket, end: End) -> Self | None:
        """The child at the other end of the line; None when there is none."""
        await anyio.wait_readable(line)
        message, descriptors, _, _ = socket.recv_fds(line, LENGTH.size, 1)
        return cls(LENGTH.unpack(message)[0], descriptors[0], end) if message else None

    async def prepared(self, line: socket.socket, order: Order) -> bool:
        """Tell it what it is to run. True when it waits for the go."""
        loop, text = asyncio.get_running_loop(), json.dumps(order).encode()
        with contextlib.suppress(ConnectionError):
            await loop.sock_sendall(line, LENGTH.pack(len(text)) + text)
            return await loop.sock_recv(line, 1) == READY
        return False

    async def __aenter__(self) -> Self:
        """Within the block the process may run."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Left before its end, it is killed, as by anyio's own process."""
        if not self._waited:
            self.kill()
            with anyio.CancelScope(shield=True):
                await self.wait()
        self.let_go()

    def let_go(self) -> None:
        """Watch it no more."""
        os.close(self._watch)

    def kill(self) -> None:
        """End it at once, with what it started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)

    async def wait(self) -> int | None:
        """Wait for its end, whatever has become of the fork server. Returns its status, None when that is unknown."""
        await anyio.wait_readable(self._watch)
        with anyio.move_on_after(REPORT_SECONDS):
            await self._end.said.wait()
        status = self._end.status
        if not self._end.said.is_set():
            status = _status_of_zombie(self.pid)
            self._end.overdue()
        self.returncode = None if status is None else os.waitstatus_to_exitcode(status)
        self._waited = True
        return self.returncode


def _status_of_zombie(pid: int) -> int | None:
    """The wait status of a process that its parent, a fork server that hangs, has not asked for."""
    try:
        fields = process_stat.fields(pid)
    except OSError:
        return None
    return int(fields[process_stat.EXIT_CODE]) if fields[process_stat.STATE] == "Z" else None
