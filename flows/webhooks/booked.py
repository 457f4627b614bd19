"""What becomes of a booking: the contact shows it in Notion, where sequences read it; who did not come is enrolled.

The latest that is known of a person's bookings is kept at Prefect, under the mailbox's digest: a no-show of Cal.com
names neither person nor time, and events come late, twice and in any order. Applied twice is the same as once.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from flows.campaigns import payloads
from flows.campaigns.model import sequences
from flows.enrolment import handlers, records
from flows.recipients import suppression
from flows.recipients.contact import BOOKED, BOOKING, STATUS, has_left
from flows.services import notion_schema as schema
from flows.webhooks import bookings

if TYPE_CHECKING:
    from collections.abc import Callable

    from flows.services.notion_gateway import NotionGateway
    from flows.services.prefect_api import Prefect

PREPARING = "Pre-Call Prep"
log = logging.getLogger("hublab.webhooks")


class NotShownYetError(Exception):
    """The booking's contact may be one that Notion's queries do not show yet: to be tried again."""


def apply(prefect: Prefect, notion: NotionGateway, booking: dict[str, Any], waited: Callable[[], bool]) -> None:
    """Show a booking, and enrol who did not come.

    `waited` says whether what was there at the first try is shown by now, however Notion's queries lag.

    Raises:
        NotShownYetError, NotionError, and what Prefect's client raises: it is to be tried again.
    """
    name = suppression.booking_name(booking["email"])
    known = prefect.variable(name)
    if known and bookings.ends_before(known, booking):
        prefect.remember(name, {part: value for part, value in known.items() if part != "before"})
        return
    booking = bookings.counting(known, booking)
    if not bookings.newer(known, booking) or _is_forgotten(prefect, known, booking):
        return
    if booking["status"] == bookings.NO_SHOW:
        _enrol(prefect, bookings.payload(known, booking), booking["at"])
    _show(notion, booking, waited)
    prefect.remember(name, bookings.kept(known, booking))


def _is_forgotten(prefect: Prefect, known: dict[str, Any] | None, booking: dict[str, Any]) -> bool:
    """Whether it is of a person who was erased, and has not booked anew since."""
    since = suppression.erased(prefect, [booking["email"]]).get(booking["email"])
    return since is not None and (booking["at"] <= since or (known is None and booking["status"] != BOOKED))


def _show(notion: NotionGateway, booking: dict[str, Any], waited: Callable[[], bool]) -> None:
    email, values = booking["email"], {BOOKING: booking["status"]}
    contacts = records.find_contacts(notion, email)
    if not contacts and not waited():  # who signed up just before must not have two pages
        raise NotShownYetError
    for one in contacts:
        ended = has_left(one)
        more = {STATUS: PREPARING} if booking["status"] == BOOKED and not ended else {}
        notion.update(schema.CONTACTS, one["id"], values | more)
    if not contacts and booking["status"] == BOOKED:
        first = {"First Name": booking["details"].get("first_name")}
        title = {schema.TITLE: records.who(booking["details"] | {"email": email})}
        made = values | title | {"Email": email, STATUS: PREPARING} | first
        notion.create_once(schema.CONTACTS, made, lambda: records.find_contacts(notion, email))


def _enrol(prefect: Prefect, payload: dict[str, Any], at: str) -> None:
    for sequence in sequences().values():
        if not sequence.no_show:
            continue
        try:
            details = payloads.checked(sequence, payload)
        except ValidationError as error:
            fields = ", ".join(str(one["loc"][0]) for one in error.errors())
            text = f"a no-show is not enrolled in {sequence.campaign}/{sequence.name}: nothing is known of its {fields}"
            log.warning("%s", text)
            prefect.alarm("no-show", text)
            continue
        handlers.start(prefect, sequence, sequence.key_of(details), details, at)
