"""Who a person has taken off the list in Notion, on whichever page of an address: kept as a suppression.

A send sees the contact that its record leads to. An address may have another, which a handler made within Notion's lag,
or somebody by hand.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from flows.recipients import contact, suppression
from flows.services import notion_schema as schema

if TYPE_CHECKING:
    from flows.services.notion_gateway import NotionGateway
    from flows.services.prefect_api import Prefect

SEEN = "hublab-contacts-seen"  # the variable that says up to when edits were looked at
FIRST = timedelta(days=1)
# Notion says to the minute when a page was edited, and its queries lag behind.
OVERLAP = timedelta(minutes=5)


def look(prefect: Prefect, notion: NotionGateway, now: datetime) -> int:
    """Keep who has left by an edit since the last look; how many addresses that were.

    Raises:
        NotionError: contacts could not be read, and the next look begins where this one did.
        UnreadableRecordError: a contact has no status that could be read.
    """
    kept = prefect.variable(SEEN) or {}
    since = datetime.fromisoformat(kept["at"]) if "at" in kept else now - FIRST
    edited = {"timestamp": "last_edited_time", "last_edited_time": {"on_or_after": (since - OVERLAP).isoformat()}}
    gone = {
        (str(schema.read(page, "Email")), cause)
        for page in notion.find(schema.CONTACTS, edited)
        for cause in suppression.causes_of(contact.of([page]).statuses)
        if schema.read(page, "Email")
    }
    for email, cause in sorted(gone):
        suppression.record(prefect, email, cause, now.isoformat(), "a contact in Notion")
    prefect.remember(SEEN, {"at": now.astimezone(UTC).isoformat()})
    return len({email for email, _ in gone})
