"""The person in control: why a mail must not go out, as the enrolment's page in Notion tells. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flows.services.notion_schema import read

if TYPE_CHECKING:
    from flows.campaigns.model import Sequence

# Statuses of a contact after which nothing of any campaign is sent to the address.
SUPPRESSING = ("Unsubscribed", "Bounced", "Complained", "Cancelled")


def why_not(  # noqa: PLR0911 - one line per reason reads best
    page: dict[str, Any], sequence: Sequence, number: int
) -> str | None:
    """The reason to skip a step, or None: the record in Notion has the last word."""
    sent = read(page, f"Email {number} Sent")
    if sent:
        return f"already sent on {sent}"
    if page.get("in_trash") or page.get("archived"):
        return "cancelled: its record is in Notion's trash"
    if read(page, "Cancelled"):
        return "cancelled in Notion"
    if read(page, "Sequence Completed"):
        return "sequence completed in Notion"
    for status in read(page, "Contact Status") or []:
        if status in SUPPRESSING:
            return f"the contact is {status.lower()}"
    for booking in read(page, "Contact Booking") or []:
        if booking in sequence.stop_on_booking:
            return f"a booking is made: {booking}"
    return None
