"""What Notion says of an enrolment's contact: by the record's rollups, or by its own pages where they do not tell.

Never takes the absence of something for permission: a property that was renamed, or is of a kind that cannot show what
it is asked for, is an error, and a relation that leads to nobody is a reason not to send.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from flows.recipients import mailbox
from flows.recipients.suppression import causes_of
from flows.services import notion_schema as schema
from flows.services.errors import NotionMissingError
from flows.services.notion_mapping import FITS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from flows.services.notion_gateway import NotionGateway

STATUS, BOOKING, CALL = "Christmas Campaign Status", "Booking Status", "Diagnostic Call Date"
BOOKED = "Booked"  # what a date says, where others have a status
SHOWS = {"select": "option", "checkbox": "tick", "email": "address"}  # by a kind of property; a date, a date


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
    items = {name: rollup["rollup"]["array"] for name, rollup in zip(schema.ROLLUPS, rollups, strict=True)}
    return ContactState(_options(STATUS, items["Contact Status"]), _options(BOOKING, items["Contact Booking"]))


def of(contacts: list[dict[str, Any]]) -> ContactState:
    """What the pages of an address's contact say, taken together. Raises UnreadableRecordError.

    The date of a call is a booking where no status of the same page says what became of it.
    """
    bookings = [_options(BOOKING, [_property(one, BOOKING, schema.CONTACTS)]) or _called(one) for one in contacts]
    return ContactState(_statuses(contacts), tuple(part for parts in bookings for part in parts), bool(contacts))


def has_left(page: dict[str, Any]) -> bool:
    """Whether a contact's page says that it gets some mail no more. Raises UnreadableRecordError."""
    return bool(causes_of(_statuses([page])))


def _statuses(contacts: list[dict[str, Any]]) -> tuple[str, ...]:
    return _options(STATUS, [_property(one, STATUS, schema.CONTACTS) for one in contacts])


def _called(page: dict[str, Any]) -> tuple[str, ...]:
    found = page["properties"].get(CALL)
    if found is None:
        return ()
    readable(CALL, found, "date")
    return (BOOKED,) if schema.plain(found["type"], found[found["type"]]) else ()


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


def _options(name: str, shown: Iterable[dict[str, Any]]) -> tuple[str, ...]:
    """Every option that a property of contacts shows, on pages or in a rollup, also where it shows several."""
    values = list[str]()
    for one in shown:
        if name == BOOKING and one["type"] == "date":
            values.append(BOOKED if one["date"] else "")
            continue
        readable(name, one, "select")
        values.append(schema.plain(one["type"], one[one["type"]]) or "")
    parts = [part.strip() for value in values for part in value.split(",")]
    return tuple(part for part in parts if part)


def readable(name: str, found: dict[str, Any], kind: str, block: str = schema.CONTACTS) -> None:
    """Raise UnreadableRecordError for a property that cannot stand for one of a kind, whatever it shows."""
    if found["type"] not in FITS[kind]:
        where, what = f"the database {schema.TITLES[block]!r}", SHOWS.get(kind, kind)
        remedy = f"make it a {kind} again, or name in notion.toml the property that is one"
        raise UnreadableRecordError(f"{where}: {name!r} is a {found['type']}, which shows no {what}: {remedy}")


def address(page: dict[str, Any], block: str = schema.CONTACTS) -> str:
    """The address on a contact's page, or on a record; empty where nobody has filled it in.

    Raises UnreadableRecordError.
    """
    found = _property(page, "Email", block)
    readable("Email", found, "email", block)
    return str(schema.plain(found["type"], found[found["type"]]) or "")
