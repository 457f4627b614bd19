"""What a person should look at before somebody is taken over, each with what happens when nobody does. Pure."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from flows.operator.cutover import fates, person
from flows.operator.cutover.facts import OPEN
from flows.recipients.contact import BOOKING
from flows.recipients.control import booked
from flows.recipients.mailbox import mailbox
from flows.recipients.suppression import ended_by
from flows.services.words import counted

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from flows.campaigns.model import Sequence as Mails
    from flows.operator.cutover.facts import Contact, OldRun, Record
    from flows.operator.cutover.fates import Fate


class Mailboxes:
    """What the pages of a mailbox say that stops a mail when it is due, by whichever of its addresses."""

    def __init__(self, contacts: Mapping[str, Sequence[Contact]], stopped: Iterable[tuple[str, Mails]]) -> None:
        """`contacts` by address; `stopped`: the address and the sequence of each record that a person has ended."""
        self._exact = contacts
        self._contacts: defaultdict[str, list[tuple[str, Contact]]] = defaultdict(list)
        self._stopped: defaultdict[str, list[Mails]] = defaultdict(list)
        for email, those in contacts.items():
            self._contacts[mailbox(email)] += [(email, one) for one in those]
        for email, sequence in stopped:
            self._stopped[mailbox(email)].append(sequence)

    def of(self, sequence: Mails, email: str, enrolled: datetime, coming: int) -> Iterator[str]:
        """Why so many mails of an enrolment will be skipped."""
        will = f"{counted(coming, 'mail', 'mails')} will be skipped"
        if email not in self._exact:
            yield f"no contact in Notion: {will}; create the contact if they are to go"
        for address, one in self._contacts[mailbox(email)]:
            where = "" if address == email else f" ({address}, of the same mailbox)"
            # A later booking of what enrols by a booking: a contact's own shows the latest, whatever came before it.
            counts = address == email or BOOKING not in sequence.contact or not one.edited or one.edited >= enrolled
            if counts and (made := booked(one.bookings, sequence)):
                yield f"{made}{where}: {will}, which the production before would have sent"
            if left := ended_by(one.status, sequence.kind):
                yield f"the contact is {left.lower()}{where}: {will}"
        if len(self._exact.get(email, ())) > 1:
            yield f"{len(self._exact[email])} contacts: who has left or booked by any of them gets nothing"
        if sequence in self._stopped[mailbox(email)]:
            yield f"a record of the mailbox is cancelled or completed in Notion: {will}"


def of(  # noqa: PLR0913 - what an enrolment consists of
    sequence: Mails,
    email: str,
    enrolled: datetime,
    runs: Sequence[OldRun],
    records: Sequence[Record],
    boxes: Mailboxes,
    steps: Sequence[Fate],
) -> Iterator[str]:
    """All doubts about one enrolment."""
    coming = sum(one.kind == fates.COMES for one in steps)
    yield from (f"mail {one.number}: {one.doubt}" for one in steps if one.doubt)
    yield from _twice(sequence, email, runs, records)
    if coming:
        yield from _unready(sequence, runs, records, coming)
        yield from boxes.of(sequence, email, enrolled, coming)


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
