"""What the way back does not hand over: listed for a person, and ours again when all is taken over again. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from flows.campaigns import plan as plans
from flows.campaigns.model import sequences as all_sequences
from flows.operator.cutover import decide, fates, writes
from flows.operator.cutover.facts import HANDED, KEPT
from flows.operator.cutover.writes import Write

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from flows.operator.cutover.facts import Facts, OldRun, OurRun
    from flows.operator.cutover.returning import Return


@dataclass(frozen=True)
class Kept:
    """What theirs did not get, or would not (`done` is False): `step` 0 is a signup."""

    email: str
    sequence: str
    step: int
    why: str
    done: bool


def of(facts: Facts, would: Iterable[Return] = ()) -> list[Kept]:
    """For a person to decide: what ended here and was not handed back, and what of `would` would not be."""
    found = []
    for key, run in facts.ours.items():
        if why := _why(run):
            given, sequence = run.parameters, decide.named_by(key)
            email = str((given.get("enrolment") or given.get("payload") or {}).get("email") or "")
            name = f"{sequence.campaign}/{sequence.name}" if sequence else key
            found.append(Kept(email, name, int(given.get("step") or 0), why, done=True))
    calls = [(call, _why(call)) for call in facts.runs if not _goes_on(call, facts)]
    found += [Kept(one.email, "/".join(one.sequence or ()), one.step, why, done=True) for one, why in calls if why]
    for one in would:
        if one.keeps:
            where = f"{one.sequence.campaign}/{one.sequence.name}"
            found.append(Kept(one.email, where, one.step, one.keeps, done=False))
    return sorted(found, key=lambda one: (one.email, one.sequence, one.step))


def again(facts: Facts, keys: Collection[str]) -> list[Write]:
    """What was not handed back is scheduled again here, where no case of theirs (`keys`) has it in hand.

    It is looked at once more when it is sent, as every mail is, or enrolled, as every signup.
    """
    found = []
    for key, run in facts.ours.items():
        enrolment, step = run.parameters.get("enrolment"), int(run.parameters.get("step") or 0)
        if (enrolment["key"] if enrolment else key) in keys or not _why(run):
            continue
        if enrolment is None:
            if facts.now - run.since <= fates.PATIENCE:
                found.append(Write(writes.REVIVE, run.id))
            continue
        sequence = all_sequences().get((enrolment["campaign"], enrolment["sequence"]))
        if sequence is None:
            continue
        due = plans.planned(plans.of(sequence, enrolment), step).due
        if facts.now - due <= fates.PATIENCE:
            found.append(Write(writes.REVIVE, run.id, step, due))
    return found


def _why(run: OurRun | OldRun) -> str:
    """Why a run ended here with nothing handed over; empty for any other."""
    ended = run.state == "CANCELLED" and run.state_name == HANDED and run.message.startswith(KEPT)
    return run.message.removeprefix(KEPT) if ended else ""


def _goes_on(call: OldRun, facts: Facts) -> bool:
    """Whether somebody whose call was not handed back is enrolled by this release since."""
    sequence = all_sequences().get(call.sequence) if call.sequence else None
    there = facts.ours.get(sequence.key_of(call.parameters | {"email": call.email})) if sequence else None
    return there is not None and there.state_name != HANDED
