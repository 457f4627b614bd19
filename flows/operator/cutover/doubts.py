"""What a person should look at before somebody is taken over, each with what happens when nobody does. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flows.operator.cutover import fates, person
from flows.operator.cutover.facts import OPEN
from flows.recipients.control import booked
from flows.recipients.suppression import ended_by

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from flows.campaigns.model import Sequence as Mails
    from flows.operator.cutover.facts import Contact, OldRun, Record
    from flows.operator.cutover.fates import Fate


def of(  # noqa: PLR0913 - what an enrolment consists of
    sequence: Mails,
    email: str,
    runs: Sequence[OldRun],
    records: Sequence[Record],
    contacts: Sequence[Contact],
    steps: Sequence[Fate],
) -> Iterator[str]:
    """All doubts about one enrolment."""
    coming = sum(one.kind == fates.COMES for one in steps)
    yield from (f"mail {one.number}: {one.doubt}" for one in steps if one.doubt)
    yield from _twice(sequence, email, runs, records)
    if coming:
        yield from _unready(sequence, runs, records, coming)
        yield from _skipped(sequence, contacts, coming)


def _twice(sequence: Mails, email: str, runs: Sequence[OldRun], records: Sequence[Record]) -> Iterator[str]:
    if len(records) > 1:
        yield f"{len(records)} records: the one with the most marks goes on; what any of them shows as sent counts"
    if any(not record.campaign for record in records):
        yield f"its record has no Campaign: it counts as {sequence.label}"
    written = {run.email.strip() for run in runs} | {record.email.strip() for record in records}
    if others := written - {email}:
        yield f"written {', '.join(sorted(others))} as well: one person, and one enrolment"
    waiting = [run.step for run in runs if run.standing == OPEN]
    if doubled := sorted({step for step in waiting if waiting.count(step) > 1}):
        yield f"scheduled more than once: mail {', '.join(map(str, doubled))}; each goes once, at its first time"


def _unready(sequence: Mails, runs: Sequence[OldRun], records: Sequence[Record], coming: int) -> Iterator[str]:
    if sequence.type:
        yield f"the production before could not send this sequence's mails: {coming} go out for the first time"
    if lacking := person.lacking(sequence, runs, records):
        yield f"not known: {', '.join(lacking)}; a mail whose template names one fails, and says so"


def _skipped(sequence: Mails, contacts: Sequence[Contact], coming: int) -> Iterator[str]:
    if not contacts:
        yield f"no contact in Notion: {coming} mails will be skipped; create the contact if they are to go"
    for one in contacts:
        if made := booked(one.bookings, sequence):
            yield f"{made}: {coming} mails will be skipped, which the production before would have sent"
        if left := ended_by(one.status, sequence.kind):
            yield f"the contact is {left.lower()}: {coming} mails will be skipped"
    if len(contacts) > 1:
        yield f"{len(contacts)} contacts: who has left or booked by any of them gets nothing"
