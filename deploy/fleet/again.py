"""`./hublab run-again id id`: has flow runs that are lost or were given up run again, by way of the first host."""

from __future__ import annotations

import os
import sys
import threading
from typing import TYPE_CHECKING
from uuid import UUID

from deploy.fleet import applications
from deploy.fleet.connect import USAGE, FleetError, UnreachableError, ask_all
from deploy.onhost.run_again import RunAgain

if TYPE_CHECKING:
    from collections.abc import Callable

    from deploy.fleet.connect import Host


class Sent:
    """The server is one for all hosts, and so is the request: the first that can be reached sends it.

    Another is only asked when ssh did not come through: the host that is gone may be the very one whose runs are lost.
    """

    def __init__(self) -> None:
        """`status`: what came of it; None as long as nobody has sent it."""
        self.status: int | None = None
        self._turn = threading.Lock()

    def once(self, send: Callable[[], str]) -> str:
        """What the server says; nothing where another host has asked it.

        Raises:
            FleetError: it refused, or the host cannot be reached.
        """
        with self._turn:
            if self.status is not None:
                return ""
            try:
                answer = send()
            except UnreachableError:
                raise
            except FleetError:
                self.status = 1
                raise
            self.status = 0
            return answer


def send(host: Host, wanted: list[str]) -> str:
    """What the server says to it, a line for each run.

    Raises:
        FleetError: one could not be scheduled, or the host does not answer.
    """
    try:
        return host.ask(RunAgain(runs=tuple(wanted), access=host.wanted.api_access()))
    except FleetError as error:
        if error.lines:
            raise FleetError(f"could not have all of them run again:\n{error.lines.rstrip()}") from None
        raise


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
    sent = Sent()
    replies = ask_all(
        lambda host: sent.once(lambda: send(host, wanted)),
        lambda host: sent.once(lambda: applications.again(host, wanted)),
    )
    for reply in replies:
        sys.stdout.write(reply.answer or (f"{reply.address} {reply.error}\n" if reply.error else ""))
    return 1 if sent.status is None else sent.status
