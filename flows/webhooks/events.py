"""What Resend's events and an unsubscribe mean. Applying one twice is the same as once."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from flows.campaigns.clock import instant
from flows.campaigns.model import MAX_STEPS, CampaignError, normalised
from flows.campaigns.model import sequence as find_sequence
from flows.campaigns.values import MAX_PROSE, prose
from flows.enrolment import records
from flows.recipients import suppression
from flows.recipients.contact import STATUS
from flows.sending import analytics
from flows.services import notion_schema as schema

if TYPE_CHECKING:
    from flows.services.notion_gateway import NotionGateway
    from flows.services.prefect_api import Prefect

STATUSES = {
    "email.delivered": "Delivered",
    "email.delivery_delayed": "Delayed",
    "email.failed": "Failed",
    "email.opened": "Opened",
    "email.clicked": "Clicked",
    "email.bounced": "Bounced",
    "email.suppressed": "Suppressed",
    "email.complained": "Complained",
}
SUPPRESSES = frozenset({"Bounced", "Complained", "Suppressed"})
# A full mailbox, a mail too large, no diagnosis: shown, and no reason never to write again.
SOFT = frozenset({"Transient", "Undetermined"})


def understood(body: dict[str, Any]) -> dict[str, Any] | None:
    """An event in the form that is kept, or None for one that means nothing here (other kinds, others' mails, tests).

    Raises:
        ValueError: not an event at all.
    """
    try:
        data, status = body["data"], STATUSES.get(body["type"])
        tags = data.get("tags") or {}
        if isinstance(tags, list):  # as they are given when a mail is sent
            tags = {one["name"]: one["value"] for one in tags}
        if status is None or not {"campaign", "sequence", "step"} <= set(tags) or not _is_step(tags["step"]):
            return None
        to = data["to"][0] if isinstance(data["to"], list) else data["to"]
        # Each kind of event tells its cause in an object of its own.
        more = data.get({"Bounced": "bounce", "Failed": "failed", "Suppressed": "suppressed"}.get(status, ""))
        more = more if isinstance(more, dict) else {}  # whatever is said of it, it has happened
        said = more.get("message") or more.get("reason")
        if status == "Bounced" and str(more.get("type")).capitalize() in SOFT:
            status = "Soft Bounced"
        return {
            "email": _address(to),
            "email_id": _named(data["email_id"]),
            "status": status,
            "at": instant(body["created_at"]).isoformat(),
            "detail": prose(said)[:MAX_PROSE] if isinstance(said, str) else "",
            "template": str(tags.get("template") or ""),
            **{name: str(tags[name]) for name in ("campaign", "sequence", "step")},
        }
    except (KeyError, TypeError, AttributeError, IndexError, ValueError) as error:
        raise ValueError(f"not an event of Resend's: {type(error).__name__} {error}") from None


def _address(to: str) -> str:
    """A recipient's address, also where its name is beside it."""
    found = normalised(to.rpartition("<")[2].rstrip("> "))
    if "@" not in found:
        raise ValueError("to is no address")
    return found


def _named(identity: Any) -> str:
    if not isinstance(identity, str) or not identity:
        raise TypeError("email_id is no text")
    return identity


def _is_step(text: Any) -> bool:
    """Whether a tag is a step's number: others who send with the same account may call theirs the same."""
    return str(text).isdecimal() and 1 <= int(text) <= MAX_STEPS


def unsubscribed(email: str) -> dict[str, Any]:
    """An unsubscribe in the form that is kept."""
    return {"unsubscribe": True, "email": email, "at": datetime.now(UTC).isoformat()}


def cause(event: dict[str, Any]) -> str | None:
    """Why nothing more must go to an event's address; None when it says nothing of the kind."""
    if event.get("unsubscribe"):
        return "Unsubscribed"
    return event["status"] if event["status"] in SUPPRESSES else None


def suppress(prefect: Prefect, event: dict[str, Any]) -> None:
    """Let nothing more go to an event's address, from now on. Raises what Prefect's client raises."""
    if found := cause(event):
        at = event.get("at") or datetime.now(UTC).isoformat()
        suppression.record(prefect, event["email"], found, at, event.get("email_id", "unsubscribe link"))


def apply(notion: NotionGateway, rows: analytics.Rows, event: dict[str, Any]) -> None:
    """Show an event to people, in Notion; `rows` knows its mail. Raises NotionError."""
    if found := cause(event):
        mark(notion, event["email"], found)
    if event.get("unsubscribe"):
        return
    try:
        sequence = find_sequence(event["campaign"], event["sequence"])
        # Without a template's name it was sent by an earlier release, which went by the step's number.
        template = event.get("template") or sequence.step(int(event["step"])).template
    except (CampaignError, ValueError):
        return  # a campaign that is no longer here
    analytics.happened(notion, rows, sequence.label, event | {"template": template})


def mark(notion: NotionGateway, email: str, status: str) -> None:
    """Show in Notion that an address has left, on every page of its contact; one is made where there is none."""
    values = {STATUS: status}
    contacts = records.find_contacts(notion, email)
    if not contacts:
        made = values | {"Email": email, schema.TITLE: email}
        notion.create_once(schema.CONTACTS, made, lambda: records.find_contacts(notion, email))
    for one in contacts:
        if schema.read(one, STATUS) != status:
            notion.update(schema.CONTACTS, one["id"], values)
