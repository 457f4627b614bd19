"""`python -P -s -m worker.container [MODULE ARGUMENT ...]`: a container's process; MODULE is the worker by default.

What a unit of systemd's says on a host is found out here: the worker's name, its release, and which start this is. As
process 1 it starts the module in a child, hands it the signals that come, and buries what flow runs leave behind: a
process 1 that has no handler yet is sent SIGTERM in vain, and Docker would wait for the whole grace of a drain.
"""

from __future__ import annotations

import json
import os
import platform
import runpy
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from worker.life import FIRST, life
from worker.system_calls import set_dumpable

if TYPE_CHECKING:
    from collections.abc import Mapping

REVISION = Path(__file__).resolve().parents[1] / "REVISION"
_HANDED_ON = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2})


def variables(environ: Mapping[str, str], revision: Path = REVISION) -> dict[str, str]:
    """What the worker and its health check are told beside what the container is.

    A release is what the image holds, whatever a variable says.
    """
    name = environ.get("HUBLAB_WORKER_NAME") or environ.get("COOLIFY_CONTAINER_NAME") or platform.node()
    found = {"HUBLAB_WORKER_NAME": name, "INVOCATION_ID": life()}
    if revision.is_file():
        found["HUBLAB_RELEASE"] = str(json.loads(revision.read_bytes())["id"])
    return found


def main(arguments: list[str]) -> None:
    """Become the module, in a child where this is process 1."""
    if os.getpid() == FIRST:
        set_dumpable(dumpable=False)
        _be_first()
    os.environ.update(variables(os.environ))
    sys.argv = arguments or ["worker"]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


def _be_first() -> None:
    """Return in a child; be its parent until it ends, and end with its status."""
    waited_for = _HANDED_ON | {signal.SIGCHLD}
    signal.pthread_sigmask(signal.SIG_BLOCK, waited_for)
    child = os.fork()
    if not child:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, waited_for)
        return
    while True:
        number = signal.sigwait(waited_for)
        if number == signal.SIGCHLD:
            _bury(child)
        else:
            os.kill(child, number)


def _bury(child: int) -> None:
    """Take note of all that has ended."""
    while (ended := os.waitpid(-1, os.WNOHANG)) != (0, 0):
        if ended[0] == child:
            _leave(os.waitstatus_to_exitcode(ended[1]))


def _leave(status: int) -> NoReturn:
    # As a shell tells of a signal.
    os._exit(status if status >= 0 else 128 - status)


if __name__ == "__main__":
    main(sys.argv[1:])
