"""The person in control: why a mail must not go out, as Notion tells. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flows.recipients.contact import ContactState, UnreadableRecordError, readable
from flows.recipients.suppression import ends
from flows.services.notion_schema import SEQUENCE, read

if TYPE_CHECKING:
    from collections.abc import Iterable

    from flows.campaigns.model import Sequence
    from flows.campaigns.plan import Planned


def why_not(page: dict[str, Any], contact: ContactState, sequence: Sequence, number: int) -> str | None:
    """The reason to skip a step, or None: the record in Notion and its contact have the last word.

    Raises:
        UnreadableRecordError: the record lacks a property that could stop the mail, or it shows nothing of the kind.
    """
    for name, kind in ((f"Email {number} Sent", "date"), ("Cancelled", "checkbox"), ("Sequence Completed", "checkbox")):
        if name not in page["properties"]:
            remedy = "was it renamed? Say so in notion.toml; `./hublab campaign preflight` has the line"
            raise UnreadableRecordError(f"the database 'Email Sequence' has no property {name!r}: {remedy}")
        readable(name, page["properties"][name], kind, SEQUENCE)
    sent = read(page, f"Email {number} Sent")
    if sent:
        return f"already sent on {sent}"
    if page.get("in_trash") or page.get("archived"):
        return "cancelled: its record is in Notion's trash"
    if read(page, "Cancelled"):
        return "cancelled in Notion"
    if read(page, "Sequence Completed"):
        return "sequence completed in Notion"
    return why_not_contact(contact, sequence)


def stopped(page: dict[str, Any], plan: Iterable[Planned]) -> str | None:
    """That another record of an enrolment was stopped by a person, in words, or None; to have sent all is no stop."""
    if read(page, "Cancelled"):
        return "cancelled in Notion, on another record of the mailbox"
    if read(page, "Sequence Completed") and not all(read(page, f"Email {one.number} Sent") for one in plan):
        return "sequence completed in Notion, on another record of the mailbox"
    return None


def why_not_contact(contact: ContactState, sequence: Sequence) -> str | None:
    """The reason why a contact must not get a sequence's mails, or None."""
    for status in contact.statuses:
        if ends(status, sequence.kind):
            return f"the contact is {status.lower()}"
    if reason := booked(contact.bookings, sequence):
        return reason
    return None if contact.there else "its contact is not in Notion any more, or in the trash"


def booked(bookings: Iterable[str], sequence: Sequence) -> str | None:
    """That one of some bookings ends a sequence, in words, or None."""
    stopping = {one.casefold() for one in sequence.stop_on_booking}
    return next((f"a booking is made: {one}" for one in bookings if one.casefold() in stopping), None)
