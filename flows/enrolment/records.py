"""What an enrolment writes in Notion: the contact, its own page, and for a customer the project."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flows.campaigns.payloads import values
from flows.recipients.contact import STATUS, has_left
from flows.services import notion_schema as schema

if TYPE_CHECKING:
    from datetime import datetime

    from flows.campaigns.model import Sequence
    from flows.services.notion_gateway import NotionGateway

Page = dict[str, Any]


def mapped(sequence: Sequence, mapping: dict[str, str], details: dict[str, Any]) -> dict[str, Any]:
    """The properties of a mapping in the campaign file: from the payload, or fixed (`=value`; `=yes` ticks a box)."""
    found = values(sequence, details)
    fixed: dict[str, Any] = {"yes": True}
    return {
        name: fixed.get(source[1:], source[1:]) if source.startswith("=") else found.get(source)
        for name, source in mapping.items()
    }


def who(details: dict[str, Any]) -> str:
    """How lists in Notion name a person: the name, and the business where there is one; else the address."""
    named = [str(details[key]) for key in ("first_name", "business_name") if details.get(key)]
    return ", ".join(named) or str(details["email"])


def find_contacts(notion: NotionGateway, email: str) -> list[Page]:
    """The pages of an address's contact, the oldest first: one, as a rule. Raises NotionError."""
    return notion.equals(schema.CONTACTS, Email=email)


def write_contact(notion: NotionGateway, sequence: Sequence, details: dict[str, Any], contacts: list[Page]) -> Page:
    """Create or update the contact; a status by which it has left stays as it is.

    Raises:
        NotionError: it could not be written.
        UnreadableRecordError: whether it has left, cannot be read.
    """
    email = details["email"]
    wanted = {schema.TITLE: who(details), "Email": email} | mapped(sequence, sequence.contact, details)
    if contacts:
        if has_left(contacts[0]):
            wanted.pop(STATUS, None)
        if schema.read(contacts[0], schema.TITLE):
            wanted.pop(schema.TITLE)  # a person's own words stay
        return notion.update(schema.CONTACTS, contacts[0]["id"], wanted)
    return notion.create_once(schema.CONTACTS, wanted, lambda: notion.equals(schema.CONTACTS, Email=email))


def find_enrolment(notion: NotionGateway, key: str) -> Page | None:
    """The page of an enrolment; the oldest, where there are several. Raises NotionError."""
    return next(iter(notion.equals(schema.SEQUENCE, Enrolment_Key=key)), None)


def create_enrolment(
    notion: NotionGateway, sequence: Sequence, details: dict[str, Any], contact: Page, enrolled: datetime
) -> Page:
    """Create the page of an enrolment. Raises NotionError."""
    key = sequence.key_of(details)
    wanted = {
        schema.TITLE: f"{who(details)}: {sequence.type or sequence.label}",
        "Email": details["email"],
        "Campaign": sequence.label,
        "Template Type": sequence.type,
        sequence.started: enrolled.isoformat(),
        "Enrolment Key": key,
        "Contact": contact["id"],
    } | mapped(sequence, sequence.record, details)
    return notion.create_once(schema.SEQUENCE, wanted, lambda: notion.equals(schema.SEQUENCE, Enrolment_Key=key))


def write_project(notion: NotionGateway, sequence: Sequence, details: dict[str, Any], enrolled: datetime) -> None:
    """Create the customer's project, or update the one that is there. Raises NotionError."""
    if not sequence.project:
        return
    wanted = mapped(sequence, sequence.project, details)

    def find() -> list[Page]:
        return notion.equals(schema.PROJECTS, Email=details["email"])

    known = find()
    if known:
        if schema.read(known[0], schema.TITLE):
            wanted.pop(schema.TITLE, None)  # a person's own words stay
        notion.update(schema.PROJECTS, known[0]["id"], wanted)
    else:
        notion.create_once(schema.PROJECTS, wanted | {"Created Date": enrolled.isoformat()}, find)
