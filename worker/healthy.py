"""`python -m worker.healthy`: the health check of a worker's container, and so the gate of its deployment.

Healthy is a worker that has sent a heartbeat and completed a flow run on the queue that it alone polls, since the
container was started. From then on it is for as long as the container lives: what becomes of Prefect's server later is
no fault of the worker's. Prints one line. Exit status: 0 healthy, 1 not yet.
"""

from __future__ import annotations

import os
import sys

from worker.life import FIRST, age, life

LATCH = "hublab-healthy"
"""A file in the folder of temporary files: no flow run can write there, and it names the life that it is of."""


def main(process: int = FIRST) -> int:
    """Check once.

    Args:
        process: the one that the container begins with.
    """
    here = life(process)
    latch = os.path.join(os.environ.get("TMPDIR", "/tmp"), LATCH)  # noqa: PTH118, S108 - pathlib costs more than all else
    if _read(latch) == here:
        return _say("the worker has completed its probe run", 0)
    # Of no use to a worker that has passed, and half a second of CPU time.
    from worker.first_run import waits_for  # noqa: PLC0415

    if reason := waits_for(os.environ, here, age(process)):
        return _say(reason, 1)
    _write(latch, here)
    return _say("the worker has completed its probe run, and stays healthy", 0)


def _read(latch: str) -> str:
    try:
        descriptor = os.open(latch, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return ""
    with open(descriptor, "rb") as file:  # noqa: PTH123 - a descriptor
        ours = os.fstat(descriptor).st_uid == os.geteuid()
        return file.read(200).decode(errors="replace") if ours else ""


def _write(latch: str, here: str) -> None:
    fresh = f"{latch}.{os.getpid()}"
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with open(descriptor, "w", encoding="ascii") as file:  # noqa: PTH123 - a descriptor
        file.write(here)
    os.replace(fresh, latch)  # noqa: PTH105 - as above


def _say(what: str, status: int) -> int:
    sys.stdout.write(f"healthy: {what}\n" if not status else f"not healthy: {what}\n")
    return status


if __name__ == "__main__":
    sys.exit(main())
