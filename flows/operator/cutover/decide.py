"""Who is taken over, and how: one case for each enrolment of the production before. Pure."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from flows.campaigns.model import GENERIC_HANDLER, normalised
from flows.campaigns.model import sequences as all_sequences
from flows.operator.cutover import attribution, doubts, fates, person
from flows.operator.cutover.facts import BUSY, HANDED, JOURNAL, KEPT, OPEN, TAKEN, Facts, OldRun, Record

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from flows.campaigns.model import Sequence
    from flows.operator.cutover.facts import Mail
    from flows.operator.cutover.fates import Fate

TAKE, LEAVE_OUT, WAIT = "taken over", "left out", "waits"


@dataclass(frozen=True)
class Case:
    """One enrolment of theirs: what becomes of it (`rule`), its mails, its runs and what is doubtful.

    `record` is the page that it goes on with; `payload` and `variables` what is known of the person.
    """

    key: str
    sequence: Sequence
    email: str
    rule: str
    why: str
    enrolled: datetime
    fates: tuple[Fate, ...] = ()
    runs: tuple[OldRun, ...] = ()
    record: Record | None = None
    contact: str | None = None
    payload: dict[str, Any] = field(default_factory=dict)
    variables: dict[str, Any] = field(default_factory=dict)
    doubts: tuple[str, ...] = ()

    @property
    def open_runs(self) -> tuple[OldRun, ...]:
        """Those of their runs that still wait for their time."""
        return tuple(run for run in self.runs if run.standing == OPEN)


@dataclass(frozen=True)
class Signup:
    """A call that no handler of theirs has come to: `known`, whether the person is enrolled; `doubt`, why not to be."""

    key: str
    sequence: Sequence
    run: OldRun
    known: bool
    doubt: str = ""


def signups(facts: Facts, enrolled: Iterable[Case]) -> list[Signup]:
    """The handlers' runs that wait, were lost before they wrote anything, or were not handed back."""
    enrolled_here = {key for key, run in facts.ours.items() if run.state_name != HANDED}
    known = {*enrolled_here, *(one.key for one in enrolled if one.rule != LEAVE_OUT)}
    found = []
    for run in facts.runs:
        if run.step or run.sequence is None or fates.is_busy(run, facts.now):
            continue
        sequence = all_sequences()[run.sequence]
        key = sequence.key_of(person.details(sequence, normalised(run.email), [run], ()))
        stays = run.standing in {OPEN, BUSY}  # of who is busy here the worker is gone
        lost_here = run.state in {"FAILED", "CRASHED"} or run.message.startswith(KEPT)
        if not stays and (key in known or not lost_here):
            continue
        tester = person.is_tester(normalised(run.email), facts.testers)
        if tester and not stays:
            continue
        old = facts.now - run.due > (fates.PATIENCE if run.standing == OPEN else fates.GRACE)
        settled = key in known or tester
        lost = f"nobody is enrolled by it ({run.state_name}), too long ago to begin now"
        found.append(Signup(key, sequence, run, settled, lost if old and not settled else ""))
    return found


def sequences() -> tuple[Sequence, ...]:
    """Those that the production before had: with a handler of their own."""
    return tuple(one for one in all_sequences().values() if one.handler != GENERIC_HANDLER)


def sequence_of(campaign: str, kind: str, key: str = "") -> Sequence | None:
    """The sequence of a record: by our key, where it has one, for a workspace may have no types.

    Else by its campaign and type; one without a campaign counts as a record of ours.
    """
    if ours := named_by(key):
        return ours
    fit = [one for one in sequences() if campaign in {"", one.label} and (one.type or "") == kind]
    return fit[0] if fit else None


def named_by(key: str) -> Sequence | None:
    """The sequence whose enrolment has a key."""
    return next((one for one in all_sequences().values() if key.startswith(f"{one.campaign}-{one.name}-")), None)


def cases(facts: Facts) -> list[Case]:
    """All of them, by address."""
    runs, records, strays = _grouped(facts)
    named = [(one.email, sequence_of(one.campaign, one.type, one.key)) for one in facts.records if one.stopped]
    boxes = doubts.Mailboxes(facts.contacts, [(email, sequence) for email, sequence in named if sequence])
    found = []
    for key in {**runs, **records}:
        sequence, email = _whose(runs[key], records[key])
        if _is_ours(facts, key, runs[key], records[key]):
            continue
        found.append(_case(facts, key, sequence, email, runs[key], records[key], strays[email], boxes))
    return sorted((one for one in found if one), key=lambda one: (one.email, one.key))


def _grouped(
    facts: Facts,
) -> tuple[defaultdict[str, list[OldRun]], defaultdict[str, list[Record]], defaultdict[str, list[Record]]]:
    """Runs and records by enrolment, and records of other campaigns by address."""
    runs, strays = defaultdict[str, list[OldRun]](list), defaultdict[str, list[Record]](list)
    records = defaultdict[str, list[Record]](list)
    for record in facts.records:
        sequence = sequence_of(record.campaign, record.type, record.key)
        if sequence is None:
            strays[normalised(record.email)].append(record)
        else:
            records[record.key or sequence.key_of(record.details | {"email": record.email})].append(record)
    for run in sorted(facts.runs, key=lambda one: one.due):
        if run.step and run.sequence and run.sequence in all_sequences():
            runs[all_sequences()[run.sequence].key_of(run.parameters | {"email": run.email})].append(run)
    return runs, records, strays


def _whose(runs: list[OldRun], records: list[Record]) -> tuple[Sequence, str]:
    if runs and runs[0].sequence:
        return all_sequences()[runs[0].sequence], normalised(runs[0].email)
    found = sequence_of(records[0].campaign, records[0].type, records[0].key)
    assert found is not None  # noqa: S101 - `_grouped` lets no other in
    return found, normalised(records[0].email)


def _is_ours(facts: Facts, key: str, runs: Iterable[OldRun], records: list[Record]) -> bool:
    """Whether an enrolment was made by this release, and nothing of theirs is left of it."""
    claim = facts.ours.get(key)
    native = claim is not None and claim.state_name != TAKEN
    left = any(run.standing in {OPEN, BUSY} for run in runs)
    return native and not left and all(record.key for record in records)


def _case(  # noqa: PLR0913 - what an enrolment consists of
    facts: Facts,
    key: str,
    sequence: Sequence,
    email: str,
    runs: list[OldRun],
    records: list[Record],
    strays: list[Record],
    boxes: doubts.Mailboxes,
) -> Case | None:
    record = _best(records)
    waiting = any(run.standing in {OPEN, BUSY} for run in runs)
    enrolled = record.started if record else min(run.due - sequence.step(run.step).delay for run in runs)
    left_out = _left_out(facts, sequence, email, record, strays)
    if left_out:
        noted: tuple[str, ...] = () if record else (left_out,)
        found = Case(key, sequence, email, LEAVE_OUT, left_out, enrolled, (), tuple(runs), record, doubts=noted)
        return found if waiting or (record and not record.key) else None
    given = person.details(sequence, email, runs, records)
    variables = person.variables(sequence, given, runs, records)
    steps = tuple(_fates(facts, sequence, enrolled, variables.get("segment"), runs, [*records, *strays]))
    contacts = facts.contacts.get(email, ())
    noted = tuple(doubts.of(sequence, email, enrolled, runs, records, boxes, steps))
    rule = WAIT if any(one.kind == fates.WAITS for one in steps) else TAKE
    return Case(
        key, sequence, email, rule, "", enrolled, steps, tuple(runs), record,
        contacts[0].page if contacts else None, given, variables, noted,
    )  # fmt: skip


def _best(records: list[Record]) -> Record | None:
    """The record that goes on: the one with a key, else with the most marks, else the oldest."""
    return max(records, key=lambda one: (bool(one.key), len(one.sent), -one.started.timestamp()), default=None)


def _left_out(facts: Facts, sequence: Sequence, email: str, record: Record | None, strays: list[Record]) -> str:
    if person.is_tester(email, facts.testers):
        return "a test address"
    if record is None:
        if strays:
            kind = f" and Template Type {strays[0].type!r}" if strays[0].type else ""
            return (
                f"its record in Notion has Campaign {strays[0].campaign!r}{kind}: nothing is sent by a record of "
                f"another. Is it this one, and the mails are to go on: choose {sequence.label!r} there, and run this "
                "again"
            )
        return (
            "no record in Notion: nothing is sent to who has none. Is it in the trash, and the mails are to go on: "
            "restore it, and run this again"
        )
    return ""


def attributed(facts: Facts, sequence: Sequence, email: str) -> tuple[dict[int, Mail], tuple[Mail, ...]]:
    """The first mail of each step that a person got, and those of which no subject tells what they are."""
    mails = facts.mails.get(email, ())
    known, unknown = attribution.attributed(mails, attribution.steps(sequence, facts.subjects))
    others = [attribution.steps(one, facts.subjects) for one in sequences() if one != sequence]
    return known, tuple(one for one in unknown if not any(attribution.attributed([one], other)[0] for other in others))


def _fates(  # noqa: PLR0913 - what an enrolment consists of
    facts: Facts,
    sequence: Sequence,
    enrolled: datetime,
    segment: str | None,
    runs: list[OldRun],
    records: list[Record],
) -> Iterator[Fate]:
    known, unknown = attributed(facts, sequence, normalised(records[0].email))
    since = enrolled - fates.TESTED
    marks = {
        number: at
        for record in records
        for number, at in sorted(record.sent.items())
        if at >= since or sequence_of(record.campaign, record.type, record.key) == sequence
    }
    # A second no-show has its own mails; of any other sequence a person gets each mail once, however long ago.
    known = {number: mail for number, mail in known.items() if not sequence.occasion or mail.at >= since}
    planned = {step.number: enrolled + step.delay for step in sequence.steps}
    theirs = {number: tuple(run for run in runs if run.step == number) for number in planned}
    waiting = {number: [run for run in those if run.standing in {OPEN, JOURNAL}] for number, those in theirs.items()}
    dues = {number: fates.due_of(those, planned[number]) for number, those in waiting.items() if those}
    for step in sequence.steps:
        yield fates.of(
            fates.Seen(
                step.number,
                step.template_for(segment),
                planned[step.number],
                theirs[step.number],
                marks.get(step.number),
                known.get(step.number),
                unknown,
                later=any(number > step.number for number in {*marks, *known}),
                tested=fates.tested(planned, dues),
                recent=facts.now - enrolled <= fates.GRACE,
            ),
            facts.now,
            facts.mails_since,
        )
