"""One application of a run: what a rollout asks of it, and the lock that is kept fresh meanwhile."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import gevent
from pyinfra import logger
from pyinfra.api import DeployError

from deploy.coolify.errors import CoolifyError, RolloutError
from deploy.coolify.ledger import LockError
from deploy.coolify.look import look
from deploy.coolify.mover import newest
from deploy.coolify.state import ApplicationState
from deploy.onhost import watch_canary
from deploy.onhost.untrusted import printable
from deploy.others import Polled
from deploy.rollout.machine import Move

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyinfra.api import Host

    from deploy.coolify.mover import Mover
    from deploy.coolify.plan import ApplicationPlan
    from deploy.onhost.lock import Owner
    from deploy.onhost.record import Line
    from deploy.rollout.machine import Outcome
    from deploy.spec import WorkerHost

REFRESH_SECONDS = 20
FAULTS = (RolloutError, CoolifyError, LockError, OSError, ValueError)


@dataclass
class ApplicationMember:
    """One application of this run: what is wanted, what was found, what will be done, and how it went.

    `trouble`: why the last step was not done. `lost`: to whom the lock went; nothing is begun any more.
    """

    host: Host
    wanted: WorkerHost
    mover: Mover
    planner: Callable[[WorkerHost, ApplicationState], ApplicationPlan]
    who: str = ""
    state: ApplicationState = field(default_factory=ApplicationState)
    plan: ApplicationPlan = field(init=False)
    outcome: Outcome | None = None
    trouble: str = ""
    lost: str = ""
    unseen: bool = False
    began: float = 0.0
    _refresher: Any = field(default=None, repr=False)
    _alive_last: str = ""

    def __post_init__(self) -> None:
        self.look_again()

    # -- what is there -----------------------------------------------------------------------------------------

    @property
    def address(self) -> str:
        """As in HUBLAB_HOSTS."""
        return self.wanted.address

    @property
    def name(self) -> str:
        """What its workers are called by: the uuid, which no other application has."""
        return self.wanted.application

    @property
    def polled(self) -> Polled:
        """Who is ONLINE in its pool; of webhooks, which poll none, it has no name."""
        return Polled("" if self.wanted.webhooks else self.wanted.work_pool, self.state.others)

    @property
    def canary_seconds(self) -> int:
        """How long the first worker of all serves alone."""
        return self.wanted.canary_seconds

    def say(self, text: str) -> None:
        """One line to the operator."""
        logger.info("%s%s", self.host.print_prefix, text)

    def see(self) -> None:
        """What is there now.

        Raises:
            DeployError: nobody says it.
        """
        self.state = look(self.wanted, self.mover.coolify, self.mover.prefect)
        if self.state.problem:
            raise DeployError(self.state.problem)

    def look_again(self, *, kept: bool = False) -> None:  # noqa: ARG002 - what has served is always asked for
        """What is there now, and the plan that follows from it."""
        self.state = look(self.wanted, self.mover.coolify, self.mover.prefect)
        self.plan = self.planner(self.wanted, self.state)

    # -- the lock ----------------------------------------------------------------------------------------------

    def lock(self, token: str, owner: Owner) -> bool:
        """Takes the application's lock and keeps it fresh until `unlock`; False when somebody else holds it."""
        self.who, self.began = owner.who, self.mover.prefect.now().timestamp()
        try:
            if taken := self.mover.take_lock(token, owner):
                self.say(f"{taken}: its owner is gone; taken over")
        except LockError as error:
            self.say(f"{error}. Nothing was changed. Try again later; `./hublab unlock` if you know it is dead.")
            return False
        except OSError as error:
            self.trouble = f"its lock could not be taken ({printable(str(error))})"
            self.say(self.trouble)
            return False
        self._refresher = gevent.spawn(self._keep)
        return True

    def _keep(self) -> None:
        while True:
            gevent.sleep(REFRESH_SECONDS)
            try:
                self.mover.keep_lock()
            except LockError as error:
                self.lost = str(error)
                self.say(f"{error}; nothing more is begun")
                return

    def unlock(self) -> None:
        """Gives the lock back; where that fails, its lease ends by itself."""
        if self._refresher is not None:
            self._refresher.kill()
            self._refresher = None
            try:
                self.mover.ledger.release()
            except OSError as error:
                self.say(f"its lock could not be given back ({printable(str(error))}); it ends by itself")

    # -- the rollout -------------------------------------------------------------------------------------------

    holds = False

    def hold(self) -> bool:
        """Its gate polls a queue of its own; a stock worker in its place is what `adopt` is for."""
        return True

    def let_go(self) -> None:
        """Nobody was held."""

    def moves(self) -> list[Move]:
        """Its one worker."""
        return [Move(self.address, "failed its gate", self.address, gated=True)] if self.plan.restarts else []

    def move(self, what: Move) -> bool:  # noqa: ARG002 - there is one
        """Deployed, followed to its end, and confirmed by the worker that runs then."""
        return self._done(lambda: self.mover.move(self.plan, self.state, self.who))

    def gate(self, what: Move) -> bool:  # noqa: ARG002
        """Its runs are compared with those of the others."""
        names = [
            worker.name for worker in self.mover.workers() if worker.online and worker.release in self.plan.expected
        ]
        query = watch_canary.WatchCanary(
            worker=names[0] if names else self.name,
            pool=self.wanted.work_pool,
            seconds=self.canary_seconds,
            access=self.wanted.api_access(),
        )
        return watch_canary.watch(query, self._alive) == 0

    def _alive(self) -> str:
        """Which workers are ONLINE; an API that does not answer decides nothing."""
        with suppress(OSError):
            self._alive_last = " ".join(worker.name for worker in newest(self.mover.workers()))
        return self._alive_last

    def undo(self) -> str:
        """By the record of what was before; nothing where none is open."""
        if not self.plan.restarts:
            return ""
        done = self._done(self.mover.undo)
        return "rolled back" if done else f"NOT all of it could be rolled back ({self.trouble})"

    def remove_automations(self) -> bool:
        """None is looked for here."""
        return True

    def commit(self) -> list[tuple[str, str]]:
        """What runs now becomes what served."""
        return [] if self._done(lambda: self.mover.commit(self.plan)) else [("its record", "could not be written")]

    def close(self, outcome: Outcome, operator: str, what: str) -> bool:
        """The line of the history."""
        return self._done(lambda: self._record(outcome.line(self.plan, operator, what)))

    def _record(self, line: Line) -> None:
        seconds = round(self.mover.prefect.now().timestamp() - self.began, 1)
        self.mover.ledger.add(replace(line, at=self.mover.ledger.now(), seconds=seconds))

    def _done(self, work: Callable[[], None]) -> bool:
        self.trouble = self.lost
        if self.lost:
            return False
        try:
            work()
        except FAULTS as error:
            self.trouble = str(error) or type(error).__name__
            if isinstance(error, LockError):
                self.lost = self.trouble
            self.say(f"FAILED: {self.trouble}")
            return False
        return True
