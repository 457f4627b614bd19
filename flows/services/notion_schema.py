"""The five databases: the properties that the flows use, their types, how a value is written and read. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

TEMPLATES = "notion-email-templates-db-id"
SEQUENCE = "notion-email-sequence-db-id"
CONTACTS = "notion-businessx-db-id"
PROJECTS = "notion-customer-projects-db-id"
ANALYTICS = "notion-email-analytics-db-id"
TITLES = {
    TEMPLATES: "Email Templates",
    SEQUENCE: "Email Sequence",
    CONTACTS: "BusinessX contacts",
    PROJECTS: "Customer Projects",
    ANALYTICS: "Email Analytics",
}
MAX_TEXT, MAX_PIECES, MAX_OPTION = 2000, 100, 100

# What the operator's workspace has.
LIVE: dict[str, dict[str, str]] = {
    TEMPLATES: {"Template Name": "title", "Subject Line": "rich_text", "Email Body HTML": "rich_text"},
    SEQUENCE: {
        "Email": "email",
        "First Name": "rich_text",
        "Business Name": "rich_text",
        "Campaign": "select",
        "Template Type": "select",
        "Segment": "select",
        "Assessment Score": "number",
        "Red Systems": "number",
        "Orange Systems": "number",
        "Yellow Systems": "number",
        "Green Systems": "number",
        "Signup Date": "date",
        "Sequence Created": "date",
        **{f"Email {number} Sent": "date" for number in range(1, 8)},
        "Sequence Completed": "checkbox",
        "Assessment Completed": "checkbox",
        "Calendly Event URI": "rich_text",
        "Scheduled Time": "rich_text",
        "Event Type": "rich_text",
        "Call Date": "rich_text",
        "Call Outcome": "rich_text",
        "Package Type": "rich_text",
        "Payment Amount": "number",
        "Payment Date": "date",
    },
    CONTACTS: {
        "Email": "email",
        "First Name": "rich_text",
        "Business Name": "rich_text",
        "Assessment Score": "number",
        "Segment": "select",
        "Christmas Campaign Status": "select",
        "Booking Status": "select",
        "Phase": "select",
    },
    PROJECTS: {
        "Name": "title",
        "Email": "email",
        "Business Name": "rich_text",
        "Diagnostic Call Date": "date",
        "Next Steps": "rich_text",
        "Status": "select",
        "Created Date": "date",
    },
    ANALYTICS: {
        "Email": "email",
        "Template ID": "rich_text",
        "Email Number": "number",
        "Status": "select",
        "Sent Date": "date",
        "Campaign": "select",
        "Resend Email ID": "rich_text",
        "Error Message": "rich_text",
    },
}
# What the project adds, by `./hublab campaign notion-setup` and never silently. The relation and its two rollups
# let one read of the enrolment's page show the contact's state as well.
ADDED: dict[str, dict[str, str]] = {
    SEQUENCE: {
        "Enrolment Key": "rich_text",
        "Cancelled": "checkbox",
        "Contact": "relation",
        "Contact Status": "rollup",
        "Contact Booking": "rollup",
    }
}
# What lists in Notion show of a page, where no other property is the database's title: written by its id, so that its
# name there may be any.
TITLE = "Name"
TITLED: dict[str, dict[str, str]] = {block: {TITLE: "title"} for block in (SEQUENCE, CONTACTS, ANALYTICS)}
# What is read where a workspace has it, never written, and asked for nowhere.
OPTIONAL: dict[str, dict[str, str]] = {CONTACTS: {"Diagnostic Call Date": "date"}}
SCHEMA = {block: LIVE[block] | ADDED.get(block, {}) | TITLED.get(block, {}) | OPTIONAL.get(block, {}) for block in LIVE}
ROLLUPS = {"Contact Status": "Christmas Campaign Status", "Contact Booking": "Booking Status"}


class UnknownPropertyError(KeyError):
    """A property that the schema does not have; names property and database."""

    def __init__(self, block: str, name: str) -> None:
        """`block` is the database's Secret block."""
        super().__init__(f"{name!r} is not a property of the database {TITLES[block]!r}")


def kind(block: str, name: str) -> str:
    """The type of a property.

    Raises:
        UnknownPropertyError: the schema has no such property.
    """
    try:
        return SCHEMA[block][name]
    except KeyError:
        raise UnknownPropertyError(block, name) from None


def pieces(text: str) -> list[dict[str, Any]]:
    """Rich text, in pieces that Notion takes."""
    parts = list[str]()
    while text and len(parts) < MAX_PIECES:
        parts.append(_beginning(text, MAX_TEXT))
        text = text[len(parts[-1]) :]
    return [{"type": "text", "text": {"content": part}} for part in parts]


def _beginning(text: str, most: int) -> str:
    """As much of a text as is no longer than Notion counts it: in UTF-16, where an emoji is two, and is not cut."""
    length = 0
    for place, one in enumerate(text):
        length += 2 if one > "\uffff" else 1
        if length > most:
            return text[:place]
    return text


def text(given: Any) -> str:
    """A value as a text; a number without the `.0` of a float."""
    return str(int(given) if isinstance(given, float) and given.is_integer() else given)


def value(kind_: str, given: Any) -> dict[str, Any]:
    """One value as a write has it."""
    if kind_ in {"title", "rich_text"}:
        return {kind_: pieces(text(given))}
    if kind_ in {"select", "status", "multi_select"}:
        # A comma would be refused: Notion separates options by it.
        option = {"name": _beginning(str(given).replace(",", " "), MAX_OPTION)}
        return {kind_: [option] if kind_ == "multi_select" else option}
    if kind_ == "date":
        return {"date": {"start": str(given)}}
    if kind_ == "relation":
        return {"relation": [{"id": str(given)}]}
    return {kind_: given}


def read(page: Mapping[str, Any], name: str) -> Any:
    """A property's plain value: text joined, an option's name, a date's start, a rollup's values; None when absent."""
    found = page["properties"].get(name)
    if found is None:
        return None
    kind_ = found["type"]
    value_ = found[kind_]
    if kind_ == "rollup":
        return [plain(item["type"], item[item["type"]]) for item in value_.get("array", [])]
    return plain(kind_, value_)


def plain(kind_: str, value_: Any) -> Any:
    """The plain value of a property of that kind, as Notion shows it."""
    if kind_ in {"title", "rich_text"}:
        return "".join(piece["plain_text"] for piece in value_)
    if kind_ in {"select", "status"}:
        return value_["name"] if value_ else None
    if kind_ == "multi_select":
        return ", ".join(one["name"] for one in value_) or None
    if kind_ == "date":
        return value_["start"] if value_ else None
    return value_


def raw(kind_: str, plain_: Any) -> Any:
    """What Notion shows of a plain value in a property of that kind; the other way round than `plain`."""
    empty = plain_ is None or plain_ == ""
    if kind_ in {"title", "rich_text"}:
        return [] if empty else [{"type": "text", "plain_text": text(plain_)}]
    if empty:
        return None
    if kind_ in {"select", "date"}:
        return {"name" if kind_ == "select" else "start": plain_}
    return _number(plain_) if kind_ == "number" else plain_


def _number(text_: Any) -> float | None:
    try:
        return float(text_)
    except ValueError:
        return None
