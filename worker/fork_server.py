"""The fork server: a process that has imported what an engine needs, and forks one engine for each flow run.

`python -P -s -m worker.fork_server SOCKET PADDING` is started by the worker (`worker.forking`) and ends with it. It has
one thread, opens no connection, sees nothing of a run and imports nothing of a customer's, so no run can change the
next; what it imports of the release's own flows (`worker.preloaded`), only runs of those get to see. What its engines
share with one another: the address layout and the seed of `hash`, which a fork cannot renew.

Why not the standard library's `multiprocessing.forkserver`: its children end by `os._exit`, without the exit handlers
by which Prefect sends a run's last logs and events; the parent waits for them without a limit; and it cannot take back
a request to a server that hangs, after which the run might be started twice. Prefect starts engines by `exec` alone.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import select
import signal
import socket
import sys
from typing import NoReturn

from worker import preloaded
from worker.preloaded import watched
from worker.settings import EX_CONFIG
from worker.system_calls import prctl, set_dumpable

PRELOAD = (
    "prefect.flow_engine",
    "prefect._internal.metrics",
    # What a run imports late: with its first request, parameter or log line.
    "anyio._backends._asyncio",
    "encodings.idna",
    "prefect._internal.observers",
    "prefect.task_engine",
    "prefect.utilities.visualization",
    "pydantic.v1",
    "rich._emoji_codes",
    "runpy",
    # What most flows import, and which is in the lock.
    "jinja2.sandbox",
    "requests",
)
_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Serve; in each child, become the engine. Its exit status is the engine's own."""
    gc.disable()  # as in `worker.__main__`; and what it would free, each child would fill, and copy the page of
    control = socket.socket(fileno=int(sys.argv[1]))
    # Also a server that is stopped or hangs must not outlive its worker; its children are not concerned.
    prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    set_dumpable(dumpable=False)
    _reset_signals()
    looked_at = preload()
    from worker import engine_economy, engine_patience  # noqa: F401, PLC0415 - as the next
    from worker.forked_engine import run  # noqa: PLC0415 - it imports what is to be watched

    if fault := _plugins_fault():
        _refuse(fault)
    engine_economy.warm()
    own = preloaded.preload(os.environ)
    gc.freeze()  # else the first collection of each child would copy all pages
    gc.enable()
    if line := serve(control, looked_at):
        run(line, own)


def _reset_signals() -> None:
    """As whatever the worker spawns later finds them: it was started before the worker had handlers of its own."""
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)


def preload() -> list[str]:
    """Import what an engine needs.

    Returns:
        The environment variables that were looked at meanwhile. Where a run has other values, it cannot be forked here.
    """
    with watched() as seen:
        for name in PRELOAD:
            importlib.import_module(name)
    return sorted(seen)


def serve(control: socket.socket, looked_at: list[str]) -> socket.socket | None:
    """Fork an engine for each message, and report how each one ends.

    Args:
        control: the line to the worker. A message in is a number and the engine's own line to the worker.
        looked_at: names of environment variables, for the worker.

    Returns:
        In a child its line; in the server None, when the worker has gone.
    """
    engines: dict[int, tuple[int, int]] = {}  # by the descriptor that tells of their end
    poll = select.poll()
    poll.register(control, select.POLLIN)
    try:
        _tell(control, pid=os.getpid(), looked_at=looked_at)
        while True:
            for descriptor, _ in poll.poll():
                if descriptor in engines:
                    number, pid = engines.pop(descriptor)
                    poll.unregister(descriptor)
                    os.close(descriptor)
                    _tell(control, number=number, status=os.waitpid(pid, 0)[1])
                    continue
                message, lines, _, _ = socket.recv_fds(control, 64, 1)
                if not message:
                    return None
                child = _fork(lines[0])
                if child == 0:
                    control.detach()  # else its end, when the engine exits, would close whatever has its number by then
                    return socket.socket(fileno=lines[0])
                if child is not None:
                    engines[watch := os.pidfd_open(child)] = int(message), child
                    poll.register(watch, select.POLLIN)
    except ConnectionError:
        return None


def _fork(line: int) -> int | None:
    """Fork. Returns the child's process id, 0 in the child; None where it cannot: the worker sees its line close.

    The line is closed in the server: the worker alone holds its other end, so that it alone can say go.
    """
    threads = len(os.listdir("/proc/self/task"))  # noqa: PTH208 - names alone, without building paths
    if threads != 1:
        _refuse(f"{threads} threads run here; an engine would inherit their locks")
    pid: int | None = None
    try:
        pid = os.fork()
    except OSError as error:  # no room for another process: there may be again, and those that run are still waited for
        sys.stderr.write(f"worker.fork_server: it cannot fork: {error}\n")
    if pid != 0:
        os.close(line)
    return pid


def _plugins_fault() -> str | None:
    from prefect.settings import get_current_settings  # noqa: PLC0415 - not before it is watched

    if get_current_settings().plugins.enabled:
        return "Prefect's plugins are enabled (PREFECT_PLUGINS_ENABLED); they run once, when Prefect is imported"
    return None


def _refuse(fault: str) -> NoReturn:
    sys.stderr.write(f"worker.fork_server: {fault}; engines are started without a fork server\n")
    sys.exit(EX_CONFIG)


def _tell(control: socket.socket, **what: object) -> None:
    control.send(json.dumps(what).encode())


if __name__ == "__main__":
    main()
