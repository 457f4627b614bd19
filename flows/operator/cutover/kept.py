"""What the way back does not hand over: listed for a person, and ours again when all is taken over again. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from flows.campaigns import plan as plans
from flows.campaigns.model import sequences as all_sequences
from flows.operator.cutover import decide, fates, returning, writes
from flows.operator.cutover.facts import HANDED
from flows.operator.cutover.writes import Write

if TYPE_CHECKING:
    from collections.abc import Collection

    from flows.operator.cutover.facts import Facts, OldRun, OurRun


@dataclass(frozen=True)
class Kept:
    """What theirs did not get, or would not (`done` is False): `step` 0 is a signup."""

    email: str
    sequence: str
    step: int
    why: str
    done: bool


def of(facts: Facts, *, taken: bool) -> list[Kept]:
    """For a person to decide: what ended here and was not handed back; where all is `taken`, what would not be."""
    found = []
    for key, run in facts.ours.items():
        if why := _why(run):
            given, sequence = run.parameters, decide.named_by(key)
            email = str((given.get("enrolment") or given.get("payload") or {}).get("email"))
            name = f"{sequence.campaign}/{sequence.name}" if sequence else key
            found.append(Kept(email, name, int(given.get("step") or 0), why, done=True))
    calls = [(call, _why(call)) for call in facts.runs]
    found += [Kept(one.email, "/".join(one.sequence or ()), one.step, why, done=True) for one, why in calls if why]
    for one in returning.returns(facts, {}) if taken else ():
        if one.keeps:
            where = f"{one.sequence.campaign}/{one.sequence.name}"
            found.append(Kept(one.email, where, one.step, one.keeps, done=False))
    return sorted(found, key=lambda one: (one.email, one.sequence, one.step))


def again(facts: Facts, keys: Collection[str]) -> list[Write]:
    """What was not handed back is scheduled again here, where no case of theirs (`keys`) has it in hand.

    It is looked at once more when it is sent, as every mail is.
    """
    found = []
    for run in facts.ours.values():
        enrolment, step = run.parameters.get("enrolment"), int(run.parameters.get("step") or 0)
        if enrolment is None or enrolment["key"] in keys or not _why(run):
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
    ended = run.state == "CANCELLED" and run.state_name == HANDED and run.message.startswith(returning.KEPT)
    return run.message.removeprefix(returning.KEPT) if ended else ""
