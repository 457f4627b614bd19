"""What Resend's events and an unsubscribe mean in Notion. Applying one twice is the same as once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flows.campaigns.model import CampaignError, normalised
from flows.campaigns.model import sequence as find_sequence
from flows.enrolment import records
from flows.sending import analytics
from flows.services import notion_schema as schema

if TYPE_CHECKING:
    from flows.services.notion_gateway import NotionGateway

STATUSES = {
    "email.delivered": "Delivered",
    "email.opened": "Opened",
    "email.clicked": "Clicked",
    "email.bounced": "Bounced",
    "email.complained": "Complained",
}
SUPPRESSES = frozenset({"Bounced", "Complained"})


def understood(body: dict[str, Any]) -> dict[str, Any] | None:
    """An event in the form that is kept, or None for one that means nothing here (other kinds, others' mails).

    Raises:
        ValueError: not an event at all.
    """
    try:
        data, status = body["data"], STATUSES.get(body["type"])
        tags = data.get("tags") or {}
        if status is None or not {"campaign", "sequence", "step"} <= set(tags):
            return None
        to = data["to"][0] if isinstance(data["to"], list) else data["to"]
        bounce = data.get("bounce") or {}
        if status == "Bounced" and bounce.get("type") == "Transient":
            return None  # a full mailbox or the like: Resend tries again
        return {
            "email": normalised(to),
            "email_id": str(data["email_id"]),
            "status": status,
            "at": str(body["created_at"]),
            "detail": str(bounce.get("message") or ""),
            **{name: str(tags[name]) for name in ("campaign", "sequence", "step")},
        }
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise ValueError(f"not an event of Resend's: {type(error).__name__} {error}") from None


def apply(notion: NotionGateway, rows: analytics.Rows, event: dict[str, Any]) -> None:
    """Write an event into Email Analytics, and stop what must be stopped; `rows` knows its mail. Raises NotionError."""
    if event.get("unsubscribe"):
        suppress(notion, event["email"], "Unsubscribed")
        return
    try:
        sequence, step = find_sequence(event["campaign"], event["sequence"]), int(event["step"])
        sequence.step(step)
    except (CampaignError, ValueError):
        return  # a campaign that is no longer here
    analytics.happened(notion, rows, sequence, step, event)
    if event["status"] in SUPPRESSES:
        suppress(notion, event["email"], event["status"])


def suppress(notion: NotionGateway, email: str, status: str) -> None:
    """Let nothing more go to an address; a contact that is not there is made, to remember it by. Raises NotionError."""
    values = {"Christmas Campaign Status": status}
    contact = records.find_contact(notion, email)
    if contact is None:
        find = lambda: notion.equals(schema.CONTACTS, Email=email)  # noqa: E731
        notion.create_once(schema.CONTACTS, values | {"Email": email}, find)
    elif schema.read(contact, "Christmas Campaign Status") != status:
        notion.update(schema.CONTACTS, contact["id"], values)
