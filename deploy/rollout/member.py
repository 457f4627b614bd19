"""One host of a run, as pyinfra reaches it."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import gevent
from pyinfra import logger

from deploy import remote, spec
from deploy.look import SILENCE_SECONDS, look
from deploy.plan import make

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyinfra.api import Host

    from deploy.plan import Plan
    from deploy.rollout.conductor import Outcome
    from deploy.spec import WorkerHost
    from deploy.state import HostState

REFRESH_SECONDS = 8


@dataclass
class Member:
    """One host of this run: what is wanted, what was found, what will be done, and how it went."""

    host: Host
    wanted: WorkerHost
    state: HostState
    plan: Plan
    outcome: Outcome | None = None
    planner: Callable[[WorkerHost, HostState], Plan] = make
    token: str = ""
    _refresher: Any = field(default=None, repr=False)

    def run(self, program: str, query: dict[str, Any], *, detached: bool = False) -> bool:
        """Runs an on-host program; a connection that breaks counts as a failure of this host."""
        if self.token:
            query = {**query, "lock": {"folder": spec.LOCK, "token": self.token}}
        try:
            return remote.run(self.host, self.wanted.python, program, query, detached=detached)
        except Exception as error:  # noqa: BLE001 - whatever ends the connection, the others must learn of it
            self.say(f"{program}: the connection broke ({error}); what the host had begun, it ends by itself")
            return False

    def say(self, text: str) -> None:
        """One line to the operator."""
        logger.info("%s%s", self.host.print_prefix, text)

    def look_again(self, *, kept: bool = False) -> None:
        """What is there now, and the plan that follows from it."""
        self.state = look(self.host, self.wanted, kept=kept)
        self.plan = self.planner(self.wanted, self.state)

    def lock(self, token: str, owner: dict[str, str]) -> bool:
        """Takes the host's lock and keeps it fresh until `unlock`; False when somebody else holds it."""
        patience = self.wanted.drain_seconds + 4 * self.wanted.gate_seconds + 600
        query = {"phase": "take", "token": token, "owner": owner, "folder": spec.LOCK, "patience_seconds": patience}
        if not self.run("lock", query):
            return False
        self.token = token
        self._refresher = gevent.spawn(self._keep)
        return True

    def unlock(self) -> None:
        """Gives the lock back; where that fails, its lease ends by itself."""
        if not self.token:
            return
        self._refresher.kill()
        token, self.token = self.token, ""
        self.run("lock", {"phase": "release", "token": token, "folder": spec.LOCK})

    def _keep(self) -> None:
        query = {"phase": "refresh", "token": self.token, "folder": spec.LOCK}
        while True:
            gevent.sleep(REFRESH_SECONDS)
            kept = None
            with contextlib.suppress(Exception), gevent.Timeout(SILENCE_SECONDS, exception=False):
                kept = remote.run(self.host, self.wanted.python, "lock", query)
            if kept is None:
                self.say("the host answers no more: hanging up; what it had begun, it ends by itself")
                self.hang_up()
            elif not kept:
                self.say("the lock is no longer ours: what was begun is ended, nothing more is begun")
            if not kept:
                return

    def hang_up(self) -> None:
        """Closes the connection, so that whoever waits for an answer over it learns that none will come."""
        client = getattr(self.host.connector, "client", None)
        if client is not None:
            client.close()
