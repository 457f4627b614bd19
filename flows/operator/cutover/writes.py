"""What is still to be written for a case, in the order in which a stop at any point does no harm. Pure.

First the enrolment's key is taken, so that nobody else enrols the person; then the record has the key; then our runs
are there; and only then theirs are cancelled. Between the last two nothing is sent twice: under our deployments a run
of theirs only waits. One of a deployment that stays theirs does not: it is withdrawn first, and what it was it tells.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from flows.campaigns import plan as plans
from flows.operator.cutover import decide, fates
from flows.operator.cutover.facts import BUSY, HANDED, OPEN

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from flows.operator.cutover.decide import Case, Signup
    from flows.operator.cutover.facts import Facts, OurRun
    from flows.operator.cutover.fates import Fate

CLAIM, ENROL, PAGE, CREATE, REVIVE = "claim", "enrol", "page", "create", "revive"
SETTLE, CANCEL, WITHDRAW = "settle", "cancel", "withdraw"


@dataclass(frozen=True)
class Write:
    """One write: `what` of the above, `at` which key, page or run; `step`, `due`, `values`, `message` as it needs."""

    what: str
    at: str
    step: int = 0
    due: datetime | None = None
    values: dict[str, Any] = field(default_factory=dict)
    name: str = ""
    message: str = ""


def of(case: Case, facts: Facts) -> list[Write]:
    """What is still to be written; nothing of somebody whose mail is in a worker's hands but the key."""
    if case.rule == decide.LEAVE_OUT:
        return list(_cancels(case))
    claim = list(_claim(case, facts))
    if case.rule == decide.WAIT:
        return claim
    cancels = list(_cancels(case))
    first = [one for one in cancels if one.what == WITHDRAW]
    return [*claim, *first, *_page(case), *_runs(case, facts), *(one for one in cancels if one not in first)]


def _claim(case: Case, facts: Facts) -> Iterator[Write]:
    if case.key not in facts.ours:
        message = f"enrolled on {case.enrolled:%Y-%m-%d %H:%M} UTC by the production before, and taken over"
        values = {"payload": case.payload, "received_at": case.enrolled.isoformat()}
        yield Write(CLAIM, case.key, values=values, message=message)


def _page(case: Case) -> Iterator[Write]:
    if case.record is None:
        return
    values: dict[str, Any] = {} if case.record.key else {"Enrolment Key": case.key}
    if case.contact and not case.record.linked:
        values["Contact"] = case.contact
    for one in case.fates:
        if one.kind == fates.OUT and one.number not in case.record.sent and one.at:
            values[f"Email {one.number} Sent"] = one.at.isoformat(timespec="seconds")
    if values:
        yield Write(PAGE, case.record.page, values=values)


def _runs(case: Case, facts: Facts) -> Iterator[Write]:
    for one in case.fates:
        key = f"{case.key}:{one.number}"
        there = facts.ours.get(key)
        if there is None:
            yield _create(key, one)
        elif one.kind == fates.COMES and there.state == "CANCELLED" and there.state_name == HANDED:
            yield Write(REVIVE, there.id, one.number, one.due)
        elif _sent_before(one, there):
            yield Write(SETTLE, there.id, one.number, name="Skipped", message=f"sent before: {one.why}")


def _create(key: str, one: Fate) -> Write:
    if one.kind == fates.COMES:
        return Write(CREATE, key, one.number, one.due)
    out = one.kind == fates.OUT
    message = f"sent by the production before: {one.why}" if out else f"withheld: {one.why}"
    return Write(CREATE, key, one.number, one.due, name="SentBefore" if out else "Skipped", message=message)


def _sent_before(one: Fate, there: OurRun) -> bool:
    """Whether somebody was enrolled anew by this release, and a mail went out before that."""
    return one.kind == fates.OUT and one.at is not None and there.state == "SCHEDULED" and one.at < there.created


def _cancels(case: Case) -> Iterator[Write]:
    for run in case.runs:
        stale = case.rule == decide.TAKE and run.standing == BUSY
        if run.standing == OPEN or stale:
            what = WITHDRAW if run.apart else CANCEL
            yield Write(what, run.id, run.step, run.due, message=f"{case.key}: {case.why or 'taken over'}")


def of_signup(signup: Signup, facts: Facts) -> list[Write]:
    """What is still to be written for somebody whom theirs did not come to enrol."""
    run, key, there = signup.run, signup.key, facts.ours.get(signup.key)
    values = {"payload": run.parameters, "received_at": run.due.isoformat()}
    enrol = Write(ENROL, key, values=values, message=f"{signup.sequence.campaign}/{signup.sequence.name}")
    if there is not None and there.state_name == HANDED:
        enrol = Write(REVIVE, there.id)
    cancel = [Write(CANCEL, run.id, message=f"{key}: {signup.doubt or 'enrolled by this release'}")]
    begins = not (signup.known or signup.doubt)
    return [*((enrol,) if begins else ()), *(cancel if run.standing in {OPEN, BUSY} else ())]


def enrolment(case: Case) -> dict[str, Any]:
    """What the run of each mail is given, as `enrol.described` makes it, with the times that were theirs."""
    plan = tuple(plans.Planned(one.number, one.template, one.due) for one in case.fates)
    return {
        "key": case.key,
        "campaign": case.sequence.campaign,
        "sequence": case.sequence.name,
        "email": case.email,
        "page": case.record.page if case.record else "",
        "enrolled_at": case.enrolled.isoformat(),
        "variables": case.variables,
        "plan": plans.written(plan),
        "testing": False,
        # Whom theirs has sent the first mail was never asked to confirm, and cannot.
        "confirm": case.sequence.confirm and case.fates[0].kind == fates.COMES,
    }
