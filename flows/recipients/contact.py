"""What Notion says of an enrolment's contact: by the record's rollups, or by its own pages where they do not tell.

Never takes the absence of something for permission: a property that was renamed is an error, and a relation that leads
to nobody is a reason not to send.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from flows.recipients import mailbox
from flows.services import notion_schema as schema
from flows.services.errors import NotionMissingError

if TYPE_CHECKING:
    from flows.services.notion_gateway import NotionGateway

STATUS, BOOKING = "Christmas Campaign Status", "Booking Status"


class UnreadableRecordError(Exception):
    """A record in Notion that does not show what must be known before a mail goes out."""


@dataclass(frozen=True)
class ContactState:
    """The contact's `statuses` and `bookings`, of all pages that the address has; `there` is False without any."""

    statuses: tuple[str, ...]
    bookings: tuple[str, ...]
    there: bool = True


def state(notion: NotionGateway, page: dict[str, Any], email: str) -> ContactState:
    """What is known of the contact of an enrolment's page.

    Raises:
        UnreadableRecordError: a property is missing, or shows nothing that can be read; names it.
        NotionError: a contact could not be read.
    """
    if found := shown(page):
        return found
    ids = [one["id"] for one in _property(page, "Contact").get("relation", [])]
    contacts = [one for one in (page_of(notion, identity) for identity in ids) if one is not None]
    return of(contacts or notion.equals(schema.CONTACTS, Email=email))


def shown(page: dict[str, Any]) -> ContactState | None:
    """What an enrolment's page itself shows of its contact; None where that is not all. Raises as `state`."""
    linked = _property(page, "Contact")
    rollups = [_property(page, name) for name in schema.ROLLUPS]
    count = len(linked.get("relation", []))
    if not count or linked.get("has_more") or not all(_whole(one, count) for one in rollups):
        return None
    read = {name: _texts(source, schema.read(page, name)) for name, source in schema.ROLLUPS.items()}
    return ContactState(read["Contact Status"], read["Contact Booking"])


def of(contacts: list[dict[str, Any]]) -> ContactState:
    """What the pages of an address's contact say, taken together. Raises UnreadableRecordError."""
    for one in contacts:
        for name in (STATUS, BOOKING):
            _property(one, name, schema.CONTACTS)
    statuses, bookings = (_texts(name, [schema.read(one, name) for one in contacts]) for name in (STATUS, BOOKING))
    return ContactState(statuses, bookings, bool(contacts))


def _property(page: dict[str, Any], name: str, block: str = schema.SEQUENCE) -> dict[str, Any]:
    found = page["properties"].get(name)
    if found is None:
        where = f"the database {schema.TITLES[block]!r}"
        remedy = (
            "was it renamed? Say so in notion.toml, or run `./hublab campaign notion-setup`; "
            "`./hublab campaign preflight` has the lines"
        )
        raise UnreadableRecordError(f"{where} has no property {name!r}: {remedy}")
    return dict(found)


def _whole(rollup: dict[str, Any], count: int) -> bool:
    value = rollup.get("rollup") or {}
    return value.get("type") == "array" and len(value.get("array", ())) == count


def page_of(notion: NotionGateway, identity: str, block: str = schema.CONTACTS) -> dict[str, Any] | None:
    """A contact's page, or a record, as it is now; None for one that is gone, or in the trash. Raises NotionError."""
    try:
        page = notion.page(block, identity)
    except NotionMissingError:
        return None
    return None if page.get("in_trash") or page.get("archived") else page


def of_mailbox(notion: NotionGateway, block: str, email: str) -> list[dict[str, Any]]:
    """The pages of a database whose address is one of a mailbox's, however it is written. Raises NotionError."""
    found = notion.find(block, mailbox.conditions(email))
    wanted = mailbox.mailbox(email)
    return [page for page in found if mailbox.mailbox(str(schema.read(page, "Email") or "")) == wanted]


def _texts(name: str, values: list[Any]) -> tuple[str, ...]:
    """Every option that a property of the contact shows, also where it shows several."""
    for value in values:
        if value is not None and not isinstance(value, str):
            remedy = "make it a select, or say in notion.toml what it is"
            raise UnreadableRecordError(f"the database 'BusinessX contacts': {name!r} shows no option: {remedy}")
    parts = [part.strip() for value in values for part in (value or "").split(",")]
    return tuple(part for part in parts if part)
