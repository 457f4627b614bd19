"""One host of a run, as pyinfra reaches it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import gevent
from paramiko import ChannelException
from pyinfra import logger
from pyinfra.api import DeployError
from pyinfra.api.exceptions import PyinfraError

from deploy import look, others, remote
from deploy.onhost.lock import Lock
from deploy.others import Polled
from deploy.plan import make
from deploy.rollout import limits
from deploy.rollout.steps import SshSteps

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyinfra.api import Host

    from deploy.onhost.lock import Owner
    from deploy.onhost.wire import Query
    from deploy.planned import Plan
    from deploy.rollout.machine import Outcome
    from deploy.spec import WorkerHost
    from deploy.state import HostState

REFRESH_SECONDS = 8
# The host ends a program first; then its answer has this long to arrive.
ANSWER_SECONDS = 60
BREAK_ENDS = "what the host had begun, it ends by itself"


@dataclass
class Member(SshSteps):
    """One host of this run: what is wanted, what was found, what will be done, and how it went.

    `trouble`: why the last program did not do its work, where the reason is not its own. `lost`: to whom the lock went;
    nothing is begun any more.
    """

    host: Host
    wanted: WorkerHost
    state: HostState
    plan: Plan
    outcome: Outcome | None = None
    planner: Callable[[WorkerHost, HostState], Plan] = make
    token: str = ""
    trouble: str = ""
    lost: str = ""
    given_back: bool = False
    unseen: bool = False
    _refresher: Any = field(default=None, repr=False)

    @property
    def name(self) -> str:
        """What its workers are called by."""
        return self.state.hostname

    @property
    def polled(self) -> Polled:
        """Who is ONLINE in its pool."""
        return Polled(self.wanted.work_pool, others.of(self.state, (step.name for step in self.plan.workers)))

    def run(self, query: Query, *, detached: bool = False) -> bool:
        """Runs an on-host program; a connection that breaks counts as a failure of this host."""
        self.trouble = self.lost or ("the lock was given back" if self.given_back else "")
        if self.trouble or not self._reach():
            return False
        if self.token:
            query = replace(query, token=self.token)
        try:
            done = self._run(query, detached=detached)
        except remote.LockLostError as error:
            self.lose(str(error))
            return False
        except (Exception, gevent.Timeout) as error:  # noqa: BLE001 - whatever ends the connection, the others must learn of it
            self._break(remote.name_of(query), str(error) or type(error).__name__)
            return False
        if not done and not look.connected(self.host):
            self._break(remote.name_of(query), "it was closed")
        return done

    def _run(self, query: Query, *, detached: bool = False) -> bool:
        limit = limits.seconds(query, self.wanted, self.plan, self.state)
        with gevent.Timeout(limit + ANSWER_SECONDS):
            return remote.run(self.host, self.wanted.python, query, detached=detached, limit=limit)

    def _break(self, program: str, reason: str) -> None:
        self.trouble = f"the connection broke during {program} ({reason})"
        self.say(f"{self.trouble}; {BREAK_ENDS}")
        look.hang_up(self.host)

    def _reach(self) -> bool:
        """Whether there is a connection; one that broke is made anew, and the lock must still be ours then."""
        if look.connected(self.host):
            return True
        try:
            look.connect_again(self.host)
        except (Exception, gevent.Timeout) as error:  # noqa: BLE001 - as above
            self.trouble = f"it cannot be reached any more ({error})"
            self.say(self.trouble)
            return False
        self.say("connected again")
        if self.token and self._refresh() is False:
            return False
        self._keep_fresh()
        return True

    def lose(self, reason: str) -> None:
        """The lock is no longer ours: from now on nothing is begun here."""
        if not self.lost:
            self.lost = reason
            self.say(f"{reason}; what was begun is ended, nothing more is begun")
        self.trouble = self.lost

    def say(self, text: str) -> None:
        """One line to the operator."""
        logger.info("%s%s", self.host.print_prefix, text)

    def see(self) -> None:
        """What is there now.

        Raises:
            PyinfraError: nobody says it.
        """
        self.state = self._look()

    def look_again(self, *, kept: bool = False) -> None:
        """What is there now, and the plan that follows from it."""
        self.state = self._look(kept=kept)
        self.plan = self.planner(self.wanted, self.state)

    def _look(self, *, kept: bool = False) -> HostState:
        """Looking changes nothing: where the connection breaks over it, it is done once more over a new one."""
        if not self._reach() and not self.lost:
            raise DeployError(self.trouble)
        try:
            return look.look(self.host, self.wanted, kept=kept)
        except PyinfraError:
            if look.connected(self.host) or not self._reach():
                raise
        return look.look(self.host, self.wanted, kept=kept)

    def lock(self, token: str, owner: Owner) -> bool:
        """Takes the host's lock and keeps it fresh until `unlock`; False when somebody else holds it."""
        patience = self.wanted.drain_seconds + 4 * self.wanted.gate_seconds + 600
        query = Lock(phase="take", mine=token, owner=owner, patience_seconds=patience)
        if not self.run(query):
            if self.trouble:  # the answer did not come; perhaps the lock did
                self._release(token)
            return False
        self.token = token
        self._keep_fresh()
        return True

    def unlock(self) -> None:
        """Gives the lock back, and begins nothing more; where that fails, the lease ends by itself."""
        token, self.token = self.token, ""
        self._stop_refreshing()
        if token and not self.lost:
            self._release(token)
        self.given_back = True

    def forget_lock(self) -> None:
        """It is gone with all that was on the host; nothing more is begun there."""
        self.token, self.given_back = "", True
        self._stop_refreshing()

    def _release(self, token: str) -> None:
        trouble = self.trouble
        self.run(Lock(phase="release", mine=token))
        self.trouble = trouble

    def _keep_fresh(self) -> None:
        self._stop_refreshing()
        if self.token:
            self._refresher = gevent.spawn(self._keep)

    def _stop_refreshing(self) -> None:
        if self._refresher is not None and self._refresher is not gevent.getcurrent():
            self._refresher.kill()

    def _keep(self) -> None:
        while True:
            gevent.sleep(REFRESH_SECONDS)
            kept = self._refresh()
            if kept is None:
                self.say(f"the host answers no more: hanging up; {BREAK_ENDS}")
                look.hang_up(self.host)
            if not kept:
                return

    def _refresh(self) -> bool | None:
        """A sign of life; False when the lock is no longer ours, None when nobody answers."""
        query = Lock(phase="refresh", mine=self.token)
        try:
            with gevent.Timeout(look.SILENCE_SECONDS):
                if remote.run(self.host, self.wanted.python, query):
                    return True
        except ChannelException:  # an answer of sshd's: it grants no further session now
            return True
        except remote.LockLostError as error:
            self.lose(str(error))
            return False
        except (Exception, gevent.Timeout):  # noqa: BLE001 - whatever it is, it is no answer
            return None
        return None
