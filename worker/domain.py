"""The domain of one flow run: where it reads and writes, and whom it can reach. Entered before anything of the run.

Each run has one of its own, also for its hooks. What is shared: Prefect's local result storage, which retries need; the
POSIX shared memory and semaphores of multiprocessing, and pseudo-terminals; and what the operator names.
"""

from __future__ import annotations

import os
import socket
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from worker import landlock, seccomp
from worker.system_calls import no_new_privileges, set_dumpable

if TYPE_CHECKING:
    from collections.abc import Callable

_DEVICES = (
    *("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty"),
    *("/dev/ptmx", "/dev/pts", "/dev/shm"),  # noqa: S108 - see above
)


class Domain(TypedDict):
    """Folders, with all below them. `hidden` is where all runs have theirs: only what is `readable` is seen of it.

    `listen`: whether the run may bind TCP sockets.
    """

    writable: list[str]
    readable: list[str]
    hidden: str
    listen: bool


def enter(domain: Domain) -> None:
    """Enter it, for good.

    Raises:
        OSError: the kernel has what it takes, and refused: the run must not begin.
    """
    no_new_privileges()
    writable = [*domain["writable"], *_DEVICES]
    version = landlock.enter(writable, domain["readable"], domain["hidden"], listen=domain["listen"])
    seccomp.restrict()
    # Within its own domain a run may look at itself; without one, other runs must not.
    set_dumpable(dumpable=version > 0)


def breaches(*, listen: bool) -> list[str]:
    """What this flow run can do although the kernel could keep it from that, found out by trying; for the probe.

    Args:
        listen: whether it may.
    """
    version, parent = landlock.abi(), os.getppid()
    attempts: list[tuple[int, str, Callable[[], object]]] = [
        (1, "write where other runs have their folders", lambda: _write_beside(Path(tempfile.gettempdir()).parent)),
        (1, "read the memory of the process that started it", lambda: os.close(_memory(parent))),
        (6, "send signals to the process that started it", lambda: os.kill(parent, 0)),
        *([] if listen else [(4, "listen at a TCP port", _bind)]),
    ]
    return [what for since, what, attempt in attempts if since <= version and _succeeds(attempt)]


def _write_beside(own: Path) -> None:
    with tempfile.TemporaryFile(dir=own.parent):
        pass


def _bind() -> None:
    with socket.socket() as line:
        line.bind(("", 0))


def _memory(pid: int) -> int:
    return os.open(f"/proc/{pid}/mem", os.O_RDONLY)


def _succeeds(attempt: Callable[[], object]) -> bool:
    try:
        attempt()
    except OSError:
        return False
    return True
