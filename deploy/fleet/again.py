"""`./hublab run-again id id`: has flow runs that are lost or were given up run again, by way of the first host."""

from __future__ import annotations

import os
import sys
import threading
from typing import TYPE_CHECKING
from uuid import UUID

from deploy.fleet import applications
from deploy.fleet.connect import USAGE, ask_all
from deploy.onhost.run_again import RunAgain

if TYPE_CHECKING:
    from deploy.fleet.connect import Host


def send(host: Host, wanted: list[str]) -> str:
    """What the server says to it, a line for each run.

    Raises:
        FleetError: one could not be scheduled, or the host does not answer.
    """
    return host.ask(RunAgain(runs=tuple(wanted), access=host.wanted.api_access()))


def main() -> int:
    """0 when each is scheduled; 1 when one is not, or no host answers; 2 when RUNS names none."""
    runs = os.environ.get("RUNS", "").replace(",", " ").split()
    try:
        wanted = [str(UUID(run)) for run in runs]
    except ValueError:
        wanted = []
    if not wanted:
        sys.stderr.write(f"RUNS: {' '.join(runs)!r} names no flow runs; give ids, as `./hublab status` shows them\n")
        return USAGE
    turn = threading.Lock()  # the server is one for all hosts, and so is the request: the first that has it sends it
    replies = ask_all(
        lambda host: send(host, wanted) if turn.acquire(blocking=False) else "",
        lambda host: applications.again(host, wanted) if turn.acquire(blocking=False) else "",
    )
    for reply in replies:
        sys.stdout.write(reply.answer or (f"{reply.address} {reply.error}\n" if reply.error else ""))
    return 1 if any(reply.error for reply in replies) else 0
