"""The take-over itself: each write of the plan, in its order; stopped anywhere and run again, it goes on."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from prefect.states import Completed

from flows.campaigns import plan as plans
from flows.enrolment import handlers
from flows.enrolment.enrol import start_mail
from flows.enrolment.takeover import CLAIMED, CLAIMING
from flows.operator import register
from flows.operator.cutover import changing, decide, fates, lock, plan, read, stage, writes
from flows.operator.cutover.facts import TAKEN, BlockedError
from flows.services.clients import notion_client
from flows.services.prefect_api import Prefect

if TYPE_CHECKING:
    from collections.abc import Iterable

    from prefect.client.schemas.objects import State

    from flows.operator.cutover.decide import Case, Signup
    from flows.operator.cutover.facts import Facts
    from flows.operator.cutover.lock import Lock
    from flows.operator.cutover.writes import Write
    from flows.services.notion_gateway import NotionGateway
    from flows.services.settings import Settings

PATIENCE = 300.0  # seconds in which what is in their workers' hands comes to its end; theirs takes seconds
PAUSE = 2.0


@dataclass
class Outcome:
    """What was written, by kind, and which runs of theirs could not be taken yet (`busy`)."""

    done: Counter[str]
    busy: int = 0


class Taking:
    """One go of the take-over."""

    def __init__(self, prefect: Prefect, notion: NotionGateway, settings: Settings, pool: str, held: Lock) -> None:
        """Nothing is called yet."""
        self._lock = held
        self._prefect, self._notion, self._settings, self._pool = prefect, notion, settings, pool
        self._opened = datetime.now(UTC)
        self._deadline = time.monotonic() + PATIENCE
        self._given: dict[str, dict[str, Any]] = {}  # what the mails of an enrolment were given
        self.outcome = Outcome(Counter())

    def run(self) -> Outcome:
        """Take over what can be taken now.

        Raises:
            BlockedError: something is in the way.
            LostError: somebody else goes on with it.
            NotionError, ResendFailedError, httpx.HTTPError: what they say; run it again.
        """
        register.limits(self._prefect, self._settings)
        standing = stage.look(self._prefect, self._notion, self._settings, self._pool)
        if standing.blockers:
            raise BlockedError("\n".join(standing.blockers))
        self._opened = stage.enter(self._prefect, CLAIMING)
        stage.keep(self._prefect)
        self._lock.hold()
        register.register(self._pool)
        # From here on a run of theirs that is taken up waits. One that was in a worker's hands before may still send.
        self._claim()
        stage.enter(self._prefect, CLAIMED)
        self._take()
        return self.outcome

    def _facts(self) -> Facts:
        self._lock.hold()
        now = datetime.now(UTC)
        return read.facts(self._prefect, self._notion, self._settings, now, (self._opened, self._pool))

    def _busy(self, facts: Facts) -> int:
        return sum(fates.is_busy(run, facts.now) for run in facts.runs)

    def _claim(self) -> None:
        """Take the key of everybody whom theirs has enrolled, once none of its handlers is at work any more."""
        facts = self._facts()
        while any(not run.step and fates.is_busy(run, facts.now) for run in facts.runs) and self._in_time():
            time.sleep(PAUSE)
            facts = self._facts()
        time.sleep(self._settings.number("HUBLAB_NOTION_LAG_SECONDS"))  # a record of a moment ago is not shown yet
        facts = self._facts()
        cases = decide.cases(facts)
        for case in cases:
            for one in writes.of(case, facts):
                if one.what == writes.CLAIM:
                    self._do(case, one)
        # Under our deployment a call enrols whom it names: one that must not is gone before handlers go on.
        self._settle([one for one in decide.signups(facts, cases) if one.doubt], facts)

    def _take(self) -> None:
        """Everything else; what is in a worker's hands is waited for."""
        before: dict[str, list[Write]] = {}
        while True:
            facts = self._facts()
            cases, signups, todo, _ = plan.decided(facts)
            todo = {key: those for key, those in todo.items() if those}
            self.outcome.busy = self._busy(facts)
            # What was written a moment ago may not be shown yet: the same once more is nothing new. Patience is for
            # what others have in their hands; what is to be written is written, however long it takes.
            if todo == before and not (self.outcome.busy and self._in_time()):
                return
            for case in cases:
                those = writes.of(case, facts)
                free = changing.free(self._prefect, those)
                for one in those:
                    if not self._do(case, one, free) and one.what == writes.WITHDRAW:
                        break  # the code of before is at it
            self._settle(signups, facts)
            for one in todo.get("", ()):
                self._hand_over(None, one, frozenset())
            before = todo
            time.sleep(PAUSE if self.outcome.busy else 0)

    def _settle(self, signups: Iterable[Signup], facts: Facts) -> None:
        for signup in signups:
            calls = writes.of_signup(signup, facts)
            free = changing.free(self._prefect, calls)
            for one in calls:
                self._hand_over(signup.sequence, one, free)

    def _in_time(self) -> bool:
        return time.monotonic() < self._deadline

    def _count(self, what: str) -> None:
        self.outcome.done[what] += 1

    def _hand_over(self, sequence: Any, one: Write, free: frozenset[str]) -> None:
        self._lock.hold()
        if one.what == writes.ENROL:
            handlers.start(self._prefect, sequence, one.at, one.values["payload"], one.values["received_at"])
            self._count(one.what)
        elif changing.apply(self._prefect, self._notion, one, TAKEN, free):
            self._count(one.what)

    def _do(self, case: Case, one: Write, free: frozenset[str] = frozenset()) -> bool:
        self._lock.hold()
        done = True
        if one.what == writes.CLAIM:
            state: State[Any] = Completed(name=TAKEN, message=one.message)
            payload, received = one.values["payload"], one.values["received_at"]
            handlers.start(self._prefect, case.sequence, one.at, payload, received, state=state)
        elif one.what == writes.CREATE:
            self._create(case, one)
        else:
            done = changing.apply(self._prefect, self._notion, one, TAKEN, free)
        if done:
            self._count(one.what)
        return done

    def _create(self, case: Case, one: Write) -> None:
        """The run of a mail. What the first mail's run was given holds for all, by whichever go it was created."""
        if case.key not in self._given:
            first = self._prefect.run_of(f"{case.key}:1")
            self._given[case.key] = first.parameters["enrolment"] if first else writes.enrolment(case)
        enrolment = self._given[case.key]
        mail = plans.planned(plans.of(case.sequence, enrolment), one.step)
        state: State[Any] | None = Completed(name=one.name, message=one.message) if one.name else None
        start_mail(self._prefect, case.sequence, enrolment, mail, state=state)


def apply(pool: str | None = None) -> Outcome:
    """Take over. Raises as `Taking.run`."""
    with Prefect() as prefect, lock.held(prefect, "taking over") as held:
        settings = prefect.settings()
        with notion_client(prefect, settings) as notion:
            return Taking(prefect, notion, settings, pool or settings.get("HUBLAB_WORK_POOL"), held).run()
