"""What a take-over would do: everything that is there, decided. Changes nothing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from flows.enrolment.takeover import CLAIMED
from flows.operator.cutover import asking, decide, kept, read, returning, stage, writes
from flows.operator.cutover.facts import OPEN
from flows.services.clients import notion_client

if TYPE_CHECKING:
    from flows.operator.cutover.decide import Case, Signup
    from flows.operator.cutover.facts import Facts
    from flows.operator.cutover.kept import Kept
    from flows.operator.cutover.stage import Stage
    from flows.operator.cutover.writes import Write
    from flows.services.notion_gateway import NotionGateway
    from flows.services.prefect_api import Prefect
    from flows.services.settings import Settings


@dataclass(frozen=True)
class Plan:
    """The cases and the signups that nobody came to, what is to be written for each by its key, and how things stand.

    `unreadable` is how many open runs of theirs name nobody, `kept` what the way back does not hand over.
    """

    stage: Stage
    cases: tuple[Case, ...]
    signups: tuple[Signup, ...]
    writes: dict[str, list[Write]]
    unreadable: int
    kept: tuple[Kept, ...] = ()


def decided(facts: Facts) -> tuple[tuple[Case, ...], tuple[Signup, ...], dict[str, list[Write]], int]:
    """The parts of a plan that people are in. Pure."""
    cases = tuple(decide.cases(facts))
    signups = tuple(decide.signups(facts, cases))
    todo = {one.key: writes.of(one, facts) for one in cases}
    for one in signups:
        todo[one.key] = todo.get(one.key, []) + writes.of_signup(one, facts)
    todo[""] = kept.again(facts, {one.key for one in cases} | {one.key for one in signups})
    unreadable = sum(run.sequence is None and run.standing == OPEN for run in facts.runs)
    return cases, signups, todo, unreadable


def made(prefect: Prefect, notion: NotionGateway, settings: Settings, pool: str) -> Plan:
    """The plan as things are now. Raises as `read.facts`."""
    standing = stage.look(prefect, notion, settings, pool)
    ordinary = (standing.opened, pool) if standing.opened else None
    facts = read.facts(prefect, notion, settings, datetime.now(UTC), ordinary)
    would = (
        asking.asked(prefect, notion, returning.returns(facts, {}), looks=False) if standing.phase == CLAIMED else ()
    )
    return Plan(standing, *decided(facts), tuple(kept.of(facts, would)))


def now(pool: str | None = None) -> Plan:
    """The same, with clients of its own that keep nothing."""
    with read.Looking() as prefect:
        settings = prefect.settings()
        with notion_client(prefect, settings) as notion:
            return made(prefect, notion, settings, pool or settings.get("HUBLAB_WORK_POOL"))
