"""The worker's side of the fork server: asks for engines, hears how they end, replaces a server that dies or hangs.

A run is never started twice. A forked child prepares itself and then waits for one byte, which only the worker can
send; a worker that gives up on it closes the line without that byte, and the child ends, whenever it gets to run.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import os
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import anyio

from worker.forked_engine import GO
from worker.forked_process import End, ForkedProcess
from worker.launcher import ISOLATED
from worker.settings import EX_CONFIG

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from worker.forked_engine import Order

_log = logging.getLogger("prefect.hublab")

FORK_SECONDS = 30.0
"""How long a server that is warm may take for one engine."""
WARM_SECONDS = 120.0
"""How long it may take to get warm, that is to import."""
# Read when an interpreter starts, or by C libraries; and Prefect's plugins, which run when it is imported.
_FROM_THE_START = (
    *("PYTHON", "LD_", "LC_", "LANG", "TZ", "GLIBC_", "MALLOC_", "OPENSSL_", "SSL"),
    *("PREFECT_PLUGINS_", "PREFECT_EXPERIMENTS_", "FSSPEC_"),
)
_PADDING = "." * 44  # room for a flow run's id in an engine's title
_LONGEST_PAUSE = 64.0
_CLOSE_SECONDS = 2.0
_LONGEST_MESSAGE = 1 << 20


class ForkServer:
    """One server process after another, as long as the worker lives."""

    def __init__(self) -> None:
        """None yet."""
        self._process: subprocess.Popen[bytes] | None = None
        self._control = socket.socket()
        self._environment: dict[str, str] = {}
        self._looked_at: frozenset[str] = frozenset()
        self._warm = asyncio.Event()
        self._started = 0.0
        self._ends: dict[int, End] = {}
        self._numbers = itertools.count(1)
        self._pause = 1.0

    def start(self) -> None:
        """Start the process, without waiting until it is warm. Needs no event loop."""
        self._environment = dict(os.environ)
        self._started = time.monotonic()
        self._warm = asyncio.Event()
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._control.setblocking(False)  # noqa: FBT003
        command = [sys.executable, *ISOLATED, "-m", "worker.fork_server", str(theirs.fileno()), _PADDING]
        with theirs:
            try:
                self._process = subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()], start_new_session=True, cwd="/"
                )
            except OSError as error:
                _log.error("The fork server cannot be started, runs start without it: %s", error)

    def attach(self) -> None:
        """Listen to it, on the running event loop."""
        loop = asyncio.get_running_loop()
        if self._process is None:
            loop.call_later(_LONGEST_PAUSE, self._restart)
            return
        watch = os.pidfd_open(self._process.pid)
        loop.add_reader(self._control, self._hear)
        loop.add_reader(watch, self._bury, self._process, watch)

    def close(self) -> None:
        """End it; engines that still run go on. For when the event loop has ended."""
        self._control.close()
        if self._process:
            try:
                self._process.wait(_CLOSE_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    async def fork(self, order: Order, may_begin: Callable[[], bool]) -> ForkedProcess | None:
        """Fork an engine that begins at once.

        Args:
            order: what it is to run.
            may_begin: asked in the last moment; after a no it does not begin.

        Returns:
            None when the engine has not begun and never will, so that it may be started in another way.
        """
        server = self._process
        if server is None or not await self._is_warm(server):
            return None
        if obstacles := self._obstacles(order["environment"]):
            _log.info("Flow run %s is not forked: it sets %s", order["flow_run"], ", ".join(obstacles))
            return None
        number = next(self._numbers)
        end = self._ends[number] = End(overdue=lambda: self._give_up(server, "does not report an engine's end"))
        process = None
        try:
            process = await self._begin(number, order, end, server, may_begin)
        finally:
            if process is None:
                self._ends.pop(number, None)
        return process

    async def _is_warm(self, server: subprocess.Popen[bytes]) -> bool:
        if not self._warm.is_set():
            with anyio.move_on_after(WARM_SECONDS - self._age()) as limit:
                await self._warm.wait()
            if limit.cancelled_caught:
                self._give_up(server, f"is not warm after {WARM_SECONDS:.0f} s")
                return False
        return server is self._process

    def _age(self) -> float:
        return time.monotonic() - self._started

    def _obstacles(self, environment: Mapping[str, str]) -> list[str]:
        """The variables by which this environment differs from the server's too early for a fork.

        Prefect's own settings are read anew in each engine, and are none of them.
        """
        here = self._environment
        changed = [name for name in {**here, **environment} if here.get(name) != environment.get(name)]
        early = [name for name in changed if name in self._looked_at and not name.startswith("PREFECT_")]
        return sorted({*early, *(name for name in changed if name.startswith(_FROM_THE_START))})

    async def _begin(
        self, number: int, order: Order, end: End, server: subprocess.Popen[bytes], may_begin: Callable[[], bool]
    ) -> ForkedProcess | None:
        line, theirs = socket.socketpair()
        line.setblocking(False)  # noqa: FBT003
        process, begun = None, False
        with line, anyio.move_on_after(FORK_SECONDS) as limit:
            try:
                with theirs:
                    socket.send_fds(self._control, [str(number).encode()], [theirs.fileno()])
                process = await ForkedProcess.meet(line, end)
                if process and await process.prepared(line, order) and may_begin():
                    begun = line.send(GO) == len(GO)
            except OSError as error:
                _log.error("Flow run %s could not be forked: %s", order["flow_run"], error)
            finally:
                if process and not begun:
                    process.let_go()
        if limit.cancelled_caught and not process:
            self._give_up(server, f"does not fork within {FORK_SECONDS:.0f} s")
        return process if begun else None

    def _hear(self) -> None:
        while True:
            try:
                message = self._control.recv(_LONGEST_MESSAGE)
            except BlockingIOError:
                return
            except OSError:
                message = b""
            if not message:
                asyncio.get_running_loop().remove_reader(self._control)
                return
            said = json.loads(message)
            if "number" not in said:
                self._looked_at = frozenset(said["looked_at"])
                self._warm.set()
                _log.info("Fork server %d is warm, %.1f s after its start", said["pid"], self._age())
            elif end := self._ends.pop(said["number"], None):
                end.say(said["status"])

    def _give_up(self, server: subprocess.Popen[bytes], why: str) -> None:
        if server is self._process and server.returncode is None:
            _log.error("The fork server %s: it is killed; engines that run go on", why)
            server.kill()

    def _bury(self, server: subprocess.Popen[bytes], watch: int) -> None:
        """The server has died: hear its last words, and start another one."""
        loop = asyncio.get_running_loop()
        loop.remove_reader(watch)
        os.close(watch)
        self._hear()
        loop.remove_reader(self._control)
        self._control.close()
        status, self._process = server.wait(), None
        self._warm.set()  # nobody need wait for this one any more
        ends, self._ends = self._ends, {}
        for end in ends.values():
            end.say(None)
        if status == EX_CONFIG:
            _log.error("The fork server refuses: engines are started without it. Its reason is in the lines before")
            return
        _log.error(
            "The fork server ended with status %d: %d engines go on, runs start without it until another one is warm",
            status,
            len(ends),
        )
        self._pause = 1.0 if self._age() > _LONGEST_PAUSE else min(2 * self._pause, _LONGEST_PAUSE)
        loop.call_later(self._pause, self._restart)

    def _restart(self) -> None:
        self.start()
        self.attach()
