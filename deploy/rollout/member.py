"""One host of a run, as pyinfra reaches it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pyinfra import logger

from deploy import remote

if TYPE_CHECKING:
    from pyinfra.api import Host

    from deploy.plan import Plan
    from deploy.rollout.conductor import Outcome
    from deploy.spec import WorkerHost
    from deploy.state import HostState


@dataclass
class Member:
    """One host of this run: what is wanted, what was found, what will be done, and how it went."""

    host: Host
    wanted: WorkerHost
    state: HostState
    plan: Plan
    outcome: Outcome | None = None

    def run(self, program: str, query: dict[str, Any], *, detached: bool = False) -> bool:
        """Runs an on-host program; a connection that breaks counts as a failure of this host."""
        try:
            return remote.run(self.host, self.wanted.python, program, query, detached=detached)
        except Exception as error:  # noqa: BLE001 - whatever ends the connection, the others must learn of it
            self.say(f"{program}: the connection broke ({error}); what the host had begun, it ends by itself")
            return False

    def say(self, text: str) -> None:
        """One line to the operator."""
        logger.info("%s%s", self.host.print_prefix, text)
