"""What goes back to the production before: our runs that are still to send, in a form that it understands. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from flows.campaigns import plan as plans
from flows.campaigns.model import GENERIC_HANDLER, normalised
from flows.campaigns.model import sequences as all_sequences
from flows.operator.cutover import decide, fates, writes
from flows.operator.cutover.facts import BACK, HANDED, KEPT, OPEN, TAKEN, OurRun, standing
from flows.operator.cutover.writes import Write
from flows.recipients.contact import BOOKING
from flows.recipients.control import booked
from flows.recipients.suppression import ended_by
from flows.services.prefect_api import MAIL_FLOW

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from flows.campaigns.model import Sequence
    from flows.operator.cutover.facts import Facts

FLAT = "hand back"
# What theirs took, where their deployment does not say it any more.
THEIRS = ("first_name", "business_name", "segment", "assessment_score", "red_systems", "orange_systems")
INTEGER = "integer"


@dataclass(frozen=True)
class Return:
    """One run of ours that goes back, or ends: `step` 0 is a handler's; `flat` are the parameters for theirs.

    `keeps` says why nothing is handed back of it, `sent_at` when its mail went out all the same, `marked` that Notion
    has that, `ends` that the run is over with this; `asks` is the key of an enrolment that is to be confirmed.
    """

    key: str
    email: str
    sequence: Sequence
    step: int
    run: OurRun
    flat: dict[str, Any]
    due: datetime
    keeps: str = ""
    sent_at: datetime | None = None
    page: str = ""
    marked: bool = True
    ends: bool = True
    asks: str = ""


def returns(facts: Facts, schemas: Mapping[str, Mapping[str, Any]]) -> list[Return]:
    """Every run of ours with its work before it, and in nobody's hands; `schemas` are their parameters by flow."""
    found = list[Return | None]()
    for key, run in facts.ours.items():
        if not is_unfinished(run, facts):
            continue
        if "enrolment" in run.parameters:
            found.append(_mail(facts, key, run, schemas))
        elif first := facts.ours.get(f"{key}:1"):
            # It had begun: those of the mails that it did not come to.
            numbers = [one["number"] for one in first.parameters["enrolment"].get("plan", ())]
            rest = [number for number in numbers if f"{key}:{number}" not in facts.ours]
            parts = [replace(run, parameters=first.parameters | {"step": number}) for number in rest]
            mails = [_mail(facts, f"{key}:{one.parameters['step']}", one, schemas) for one in parts]
            # It ends with the last of them: until then it tells that there are more.
            found += [replace(one, ends=one is mails[-1]) for one in mails if one is not None]
        else:
            found.append(_handler(facts, key, run, schemas))
    return [one for one in found if one is not None]


def calls(facts: Facts, schemas: Mapping[str, Mapping[str, Any]], pools: Mapping[str, str]) -> list[Return]:
    """The website's calls that wait, or died, in a pool that theirs does not poll; `pools` has its own, by flow."""
    people = {normalised(record.email) for record in facts.records}
    found = []
    for run in facts.runs:
        sequence = all_sequences().get(run.sequence) if run.sequence and not run.step else None
        if sequence is None or run.pool == pools.get(sequence.handler) or run.key.startswith(BACK):
            continue
        lost = run.state in {"FAILED", "CRASHED"} and facts.now - run.due <= fates.GRACE
        email = normalised(run.email)
        if run.standing == OPEN or (lost and email not in people and sequence.key_of(run.parameters) not in facts.ours):
            flat = _flat(run.parameters, schemas.get(sequence.handler, {}))
            same = OurRun(run.id, run.state, run.state_name, run.since, run.since, run.due)
            keeps = _must_not(facts, email, sequence, enrols=True)
            asks = sequence.key_of(run.parameters) if sequence.confirm else ""
            found.append(Return(run.id, email, sequence, 0, same, flat, run.due, keeps, asks=asks))
    return found


def is_busy(run: OurRun, facts: Facts) -> bool:
    """Whether one of our workers is at it."""
    return run.state in {"PENDING", "RUNNING", "CANCELLING"} and facts.now - run.since < fates.STALE


def is_unfinished(run: OurRun, facts: Facts) -> bool:
    """Whether a run has its work before it, and no worker has it; one that ended badly, for as long as it counts."""
    if standing(run.state, run.state_name) == OPEN:
        return True
    lost = run.state in {"FAILED", "CRASHED"} or (run.state in {"PENDING", "RUNNING"} and not is_busy(run, facts))
    return lost and run.due is not None and facts.now - run.due <= fates.GRACE


def _mail(facts: Facts, key: str, run: OurRun, schemas: Mapping[str, Mapping[str, Any]]) -> Return | None:
    enrolment, step = run.parameters["enrolment"], int(run.parameters["step"])
    sequence = all_sequences().get((enrolment["campaign"], enrolment["sequence"]))
    if sequence is None:
        return None
    email = normalised(enrolment["email"])
    record = next((one for one in facts.records if one.page == enrolment["page"]), None)
    mark = record.sent.get(step) if record else None
    mails, unknown = decide.attributed(facts, sequence, email)
    sent = mark or (mails[step].at if step in mails else run.accepted)
    mail = plans.planned(plans.of(sequence, enrolment), step)
    keeps = "" if sent else _why_not(facts, email, sequence, mail.template, stopped=record is None or record.stopped)
    begun = run.frozen - fates.MARGIN if run.frozen and not sent else None
    if maybe := next((one for one in unknown if begun and one.at >= begun), None):
        # Resend's answer may have been lost with the try that asked.
        keeps = keeps or f"Resend lists {maybe.subject!r} of {maybe.at:%Y-%m-%d %H:%M} UTC, which may be this mail"
    given = enrolment["variables"] | {"email": email, "email_number": step}
    flat = _flat(given, schemas.get(MAIL_FLOW, {}))
    # Not even the first mail goes to theirs: the link in it, by which one confirms, leads here.
    asks = enrolment["key"] if sequence.confirm and enrolment.get("confirm", True) else ""
    return Return(
        key, email, sequence, step, run, flat, mail.due, keeps, sent, enrolment["page"],
        marked=bool(mark) or record is None, asks=asks,
    )  # fmt: skip


def _why_not(facts: Facts, email: str, sequence: Sequence, template: str, *, stopped: bool) -> str:
    """Why a mail of ours must not be sent by theirs, which asks for nothing of this."""
    if sequence.type or sequence.handler == GENERIC_HANDLER:
        return "theirs cannot send this sequence's mails"
    if template in sequence.retired:
        return f"{template} is retired from its campaign"
    if stopped:
        return "its record in Notion is cancelled, completed or gone"
    if email not in facts.contacts:
        return "its contact is not in Notion any more, or in the trash"
    return _must_not(facts, email, sequence)


def _must_not(facts: Facts, email: str, sequence: Sequence, *, enrols: bool = False) -> str:
    """Why a person must get nothing of a sequence, by what the contact shows: theirs asks for neither."""
    contacts = facts.contacts.get(email, ())
    for one in contacts:
        if left := ended_by(one.status, sequence.kind):
            return f"the contact is {left.lower()}"
    if enrols and BOOKING in sequence.contact:
        return ""  # the call tells of a newer booking than the contact shows
    return booked((made for one in contacts for made in one.bookings), sequence) or ""


def _handler(facts: Facts, key: str, run: OurRun, schemas: Mapping[str, Mapping[str, Any]]) -> Return | None:
    sequence = decide.named_by(key)
    if sequence is None or sequence.handler not in schemas or run.due is None:
        return None
    payload = dict(run.parameters.get("payload") or {})
    email = normalised(str(payload.get("email") or ""))
    flat, keeps = _flat(payload, schemas[sequence.handler]), _must_not(facts, email, sequence, enrols=True)
    return Return(key, email, sequence, 0, run, flat, run.due, keeps, asks=key if sequence.confirm else "")


def _flat(given: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters that theirs knows, as it takes them: whole numbers, and no value that says nothing."""
    shown = schema.get("properties") or {key: {} for key in ("email", "email_number", *THEIRS)}
    return {
        name: round(value) if isinstance(value, float) and INTEGER in str(shown[name]) else value
        for name, value in given.items()
        if name in shown and value is not None
    }


def of(one: Return, facts: Facts) -> Iterator[Write]:
    """What is to be written for it, in this order: theirs is there before ours goes."""
    if one.sent_at:
        if not one.marked:
            mark = {f"Email {one.step} Sent": one.sent_at.isoformat(timespec="seconds")}
            yield Write(writes.PAGE, one.page, one.step, values=mark)
        if one.ends:
            yield Write(writes.SETTLE, one.run.id, one.step, name="Skipped", message="sent already")
        return
    key = f"{BACK}{one.key}"
    if not one.keeps:
        there = next((run for run in facts.runs if run.key == key), None)
        if there is None:
            yield Write(FLAT, key, one.step, one.due, one.flat)
        elif there.state == "CANCELLED" and there.state_name == TAKEN:
            yield Write(writes.REVIVE, there.id, one.step, one.due)
    if not one.ends:
        return
    why = f"{KEPT}{one.keeps}" if one.keeps else key
    yield Write(writes.CANCEL, one.run.id, one.step, name=HANDED, message=why)
