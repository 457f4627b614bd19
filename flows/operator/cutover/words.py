"""The plan of a take-over in words, and as JSON. Pure."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

from flows.operator.cutover import decide, fates, writes
from flows.services.words import counted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from flows.operator.cutover.decide import Case, Signup
    from flows.operator.cutover.kept import Kept
    from flows.operator.cutover.plan import Plan
    from flows.operator.cutover.stage import Stage
    from flows.operator.cutover.writes import Write

SAYS = {
    writes.CLAIM: "take the key",
    writes.ENROL: "enrol by this release",
    writes.PAGE: "write on the record",
    writes.CREATE: "create",
    writes.REVIVE: "schedule again",
    writes.SETTLE: "settle as sent before",
    writes.CANCEL: "cancel",
    writes.WITHDRAW: "withdraw",
    "hand back": "hand back",
}


def report(plan: Plan, person: str = "") -> str:
    """Everything, or one person."""
    lines = [] if person else list(_stage(plan.stage))
    shown = [one for one in plan.cases if not person or one.email == person]
    signups = [one for one in plan.signups if not person or one.run.email.strip().lower() == person]
    for case in shown:
        lines += _case(case, plan.writes[case.key], whole=bool(person))
    lines += [_signup(one) for one in signups]
    lines += _kept([one for one in plan.kept if not person or one.email == person], whole=bool(person))
    if person and not shown and not signups and not any(one.email == person for one in plan.kept):
        lines.append(f"{person} is in no sequence of the production before, or is this release's own")
    if not person:
        lines += _sums(plan)
    # Addresses and subjects are other people's words: none of them moves the cursor or begins a line.
    return "".join("".join(one if one.isprintable() else "?" for one in line) + "\n" for line in lines)


def outcome(done: Mapping[str, int], busy: int) -> str:
    """What was done."""
    what = ", ".join(f"{count} × {SAYS[name]}" for name, count in done.items()) or "nothing was left to do"
    left = f"; {busy} of theirs are in a worker's hands: run this again in a few minutes" if busy else ""
    return f"done: {what}{left}\n"


def _stage(stage: Stage) -> Iterator[str]:
    yield f"take-over: {stage.phase or 'not begun'}" + (
        f" since {stage.opened:%Y-%m-%d %H:%M} UTC" if stage.opened else ""
    )
    for name, differs in stage.theirs.items():
        yield f"deployment {name} would be renewed: {differs}"
    yield from (f"BLOCKED: {one}" for one in stage.blockers)
    yield from (f"WARNING: {one}" for one in stage.warnings)


def _case(case: Case, todo: Sequence[Write], *, whole: bool) -> Iterator[str]:
    where = f"{case.sequence.campaign}/{case.sequence.name}"
    head = f"{case.email}  {where}  enrolled {case.enrolled:%Y-%m-%d %H:%M} UTC  "
    out = [one.number for one in case.fates if one.kind == fates.OUT]
    coming = [one for one in case.fates if one.kind == fates.COMES]
    tail = f"{case.rule}{': ' + case.why if case.why else ''}"
    if case.fates:
        tail += f"; {len(out)} out, {len(coming)} to come"
        tail += f", next {min(one.due for one in coming):%Y-%m-%d %H:%M} UTC" if coming else ""
    yield head + tail + ("" if todo else "; nothing is left to do")
    if whole:
        yield from (
            f"   {one.number} {one.template}: {one.kind}, due {one.due:%Y-%m-%d %H:%M} UTC; {one.why}"
            for one in case.fates
        )
        yield from (f"   would {SAYS[one.what]}: {_of(one)}" for one in todo)
    yield from (f"   doubtful: {one}" for one in case.doubts)


def _of(write: Write) -> str:
    if write.what == writes.PAGE:
        return ", ".join(f"{name} = {value}" for name, value in write.values.items())
    when = f" for {write.due:%Y-%m-%d %H:%M} UTC" if write.due and not write.name else ""
    return f"{write.at}{when}" + (f" ({write.name}: {write.message})" if write.name else "")


def _signup(one: Signup) -> str:
    what = (
        f"doubtful: {one.doubt}"
        if one.doubt
        else ("is enrolled already" if one.known else "is enrolled by this release")
    )
    when = f"a signup of {one.run.due:%Y-%m-%d %H:%M} UTC that nobody came to"
    return f"{one.run.email}  {one.sequence.campaign}/{one.sequence.name}  {when}: {what}"


def _kept(those: Sequence[Kept], *, whole: bool) -> Iterator[str]:
    """What was not handed back, each for a person to decide; what would not be, by how many where nobody is named."""
    shown = [one for one in those if one.done or whole]
    for one in shown:
        what = f"mail {one.step}" if one.step else "a signup"
        was = "was" if one.done else "would be"
        yield f"{one.email}  {one.sequence}  {what} {was} not handed back: {one.why}"
    rest = Counter(one.why for one in those if one not in shown)
    if rest:
        whys = ", ".join(f"{count} × {why}" for why, count in rest.most_common())
        yield f"the way back would not hand over: {whys}"


def _sums(plan: Plan) -> Iterator[str]:
    people = Counter(one.rule for one in plan.cases)
    todo = Counter(one.what for those in plan.writes.values() for one in those)
    doubtful = sum(bool(one.doubts) for one in plan.cases)
    kinds = Counter(one.kind for case in plan.cases for one in case.fates)
    yield (
        f"{counted(len(plan.cases), 'enrolment', 'enrolments')} of the production before: "
        + (", ".join(f"{count} {rule}" for rule, count in sorted(people.items())) or "none")
        + f"; {doubtful} doubtful"
    )
    yield "mails: " + (", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items())) or "none")
    yield "to do: " + (", ".join(f"{count} × {SAYS[what]}" for what, count in todo.items()) or "nothing")
    if plan.unreadable:
        runs = counted(plan.unreadable, "run of theirs names", "runs of theirs name")
        yield f"{runs} no person or no mail that is known here: left alone"


def document(plan: Plan, person: str = "") -> str:
    """As JSON."""
    whole: dict[str, Any] = {
        "phase": plan.stage.phase,
        "deployments": plan.stage.theirs,
        "blockers": list(plan.stage.blockers),
        "warnings": list(plan.stage.warnings),
        "unreadable": plan.unreadable,
        "people": [_person(one, plan.writes[one.key]) for one in plan.cases if not person or one.email == person],
        "not handed back": [
            {"email": one.email, "sequence": one.sequence, "number": one.step, "why": one.why, "done": one.done}
            for one in plan.kept
            if not person or one.email == person
        ],
        "signups": [
            {"email": one.run.email, "key": one.key, "enrolled": one.known, "doubt": one.doubt} for one in plan.signups
        ],
    }
    return json.dumps(whole, indent=1, default=str) + "\n"


def _person(case: Case, todo: Sequence[Write]) -> dict[str, Any]:
    return {
        "email": case.email,
        "sequence": f"{case.sequence.campaign}/{case.sequence.name}",
        "key": case.key,
        "rule": case.rule if case.rule != decide.LEAVE_OUT else f"{case.rule}: {case.why}",
        "enrolled": case.enrolled.isoformat(),
        "mails": [
            {"number": one.number, "template": one.template, "is": one.kind, "due": one.due.isoformat(), "why": one.why}
            for one in case.fates
        ],
        "doubts": list(case.doubts),
        "writes": [{"what": SAYS[one.what], "of": _of(one)} for one in todo],
    }
