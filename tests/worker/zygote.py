"""A process that has imported what a worker and its fork server import, and forks a worker for each that asks.

A start costs five seconds of CPU time, nearly all of it the imports of two processes. What a test says of the start
itself, or of what a process has from its interpreter's start, it says of a worker that was executed (`execute`). Here
the same `main` of the same modules runs, with the settings of its own environment; only its first fork server is forked
as well, later ones are executed.

`python -P -s -m tests.worker.zygote SOCKET PADDING` listens at a socket; one message asks for one worker, the answers
are its process id and, when it has ended, its status. PADDING is room for an engine's title.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from worker import fork_server, forked_engine
from worker.fork_server import _PR_SET_PDEATHSIG
from worker.system_calls import prctl

if TYPE_CHECKING:
    from collections.abc import Callable

    from worker.forking import ForkServer
    from worker.settings import WorkerSettings
    from worker.systemd import Notifier

LONGEST_MESSAGE = 1 << 17
_EXECUTED = subprocess.Popen


class ForkServerProcess:
    """As much of `subprocess.Popen` as a worker asks of its fork server."""

    def __init__(self, command: list[str], *, pass_fds: list[int], **_: Any) -> None:
        """Fork it: in the child, serve and become its engines."""
        self.returncode: int | None = None
        self.pid = os.fork()
        if not self.pid:
            os.setsid()
            subprocess.Popen = _EXECUTED  # type: ignore[misc]
            _keep(*pass_fds)
            os.chdir("/")
            sys.argv = command[command.index("-m") + 1 :]
            forked_engine._refresh_prefect({})
            _end_by(fork_server.main)

    def wait(self, timeout: float | None = None) -> int:
        """Its status, negative for the signal that ended it."""
        if self.returncode is None:
            watch = os.pidfd_open(self.pid)
            ended, _, _ = select.select([watch], [], [], timeout)
            os.close(watch)
            if not ended:
                raise subprocess.TimeoutExpired("fork server", timeout or 0)
            self.returncode = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self.returncode

    def kill(self) -> None:
        """At once."""
        if self.returncode is None:
            os.kill(self.pid, signal.SIGKILL)


def _end_by(work: Callable[[], None]) -> NoReturn:
    """Do it and end: also in an engine, which must not come back to whoever has opened what by now is its own."""
    status: object = 1
    try:
        work()
        status = os.EX_OK
    except SystemExit as end:
        status = end.code or os.EX_OK
    except BaseException:  # noqa: BLE001 - as an interpreter does
        traceback.print_exc()
    forked_engine._leave(status if isinstance(status, int) else 1)


def _keep(*descriptors: int) -> None:
    """Close all others but the standard ones, of which the first reads nothing."""
    first = 3
    for kept in sorted(descriptors):
        os.closerange(first, kept)
        first = kept + 1
    os.closerange(first, os.sysconf("SC_OPEN_MAX"))
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)


def _fork_the_first_server() -> None:
    """By then there is one thread; of later ones, several."""
    from worker import forking  # noqa: PLC0415 - after the fork server's modules

    executed = forking.ForkServer.start

    def start(self: forking.ForkServer) -> None:
        forking.ForkServer.start = executed  # type: ignore[method-assign]
        subprocess.Popen = ForkServerProcess  # type: ignore[assignment, misc]
        try:
            executed(self)
        finally:
            subprocess.Popen = _EXECUTED  # type: ignore[misc]

    forking.ForkServer.start = start  # type: ignore[method-assign]


def _refresh_before_it_works() -> None:
    """An executed worker imports Prefect once it has completed its environment."""
    from worker import lifecycle  # noqa: PLC0415 - after the fork server's modules

    work = lifecycle.run

    def run(settings: WorkerSettings, notifier: Notifier, fork_server: ForkServer) -> int:
        forked_engine._refresh_prefect({})
        return work(settings, notifier, fork_server)

    lifecycle.run = run


def warm() -> None:
    """Import; the fork server's modules first, as it does, since it tells its worker what they looked at."""
    looked_at = fork_server.preload()
    fork_server.preload = lambda: looked_at
    _fork_the_first_server()
    _refresh_before_it_works()
    gc.collect()
    gc.freeze()


def become(asked: dict[str, Any]) -> None:
    """The worker that was asked for: in its folder, with its environment and its log."""
    log = os.open(asked["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.dup2(log, 1)
    os.dup2(log, 2)
    _keep()
    os.environ.clear()
    os.environ.update(asked["environment"])
    os.chdir(asked["folder"])
    tempfile.tempdir = None
    if asked["launch"]:
        sys.argv = ["-c"]
        exec(compile(asked["launch"], "<string>", "exec"), {"__name__": "__main__"})  # noqa: S102 - as `python -c`
    else:
        runpy.run_module("worker", run_name="__main__", alter_sys=True)


def serve(listener: socket.socket) -> dict[str, Any]:
    """Fork for each who asks. Returns in a worker alone, what was asked for."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those that wait
    while True:
        line, _ = listener.accept()
        if not os.fork():
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            asked: dict[str, Any] = json.loads(line.recv(LONGEST_MESSAGE))
            if not (worker := os.fork()):
                return asked
            with contextlib.suppress(OSError):
                line.send(b"%d" % worker)
                line.send(b"%d" % os.waitstatus_to_exitcode(os.waitpid(worker, 0)[1]))
            os._exit(0)
        line.close()


def main() -> None:
    """Import, listen, fork."""
    prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)  # whatever becomes of the tests
    warm()
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(bound := f"{sys.argv[1]}.bound")
        listener.listen()
        Path(bound).rename(sys.argv[1])  # who finds the name can connect
        asked = serve(listener)
    become(asked)


if __name__ == "__main__":
    main()
