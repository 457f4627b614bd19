"""The Notion of before: names, kinds and options as production has them, beside what the flows would call them.

Contacts are found by `email`, their title is `first_name`; records have no `Template Type`; the mails' log knows `sent`
and `failed`. Titles that nobody fills in have whatever name Notion gave them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sandbox.standins.workspace import SCHEMAS, fill

if TYPE_CHECKING:
    from sandbox.standins.notion_store import NotionStore


def chosen(*options: str) -> dict[str, Any]:
    """A select with its options."""
    return {"select": {"options": [{"name": one} for one in options]}}


SEQUENCE, CONTACTS, ANALYTICS = (f"notion-{one}-db-id" for one in ("email-sequence", "businessx", "email-analytics"))
LACKED = frozenset({"Name", "Template Type"})
OF_BEFORE: dict[str, dict[str, dict[str, Any]]] = SCHEMAS | {
    SEQUENCE: {"Record": {"title": {}}}
    | {name: kind for name, kind in SCHEMAS[SEQUENCE].items() if name not in LACKED}
    | {
        "Campaign": chosen("Christmas 2025"),
        "Follow-Up Priority": chosen("High", "Medium", "Low"),
        "Call Notes": {"rich_text": {}},
        "Objections": {"multi_select": {"options": []}},
        "Salon Address": {"rich_text": {}},
    },
    CONTACTS: {
        "first_name": {"title": {}},
        "email": {"email": {}},
        "business_name": {"rich_text": {}},
        "Assessment Score": {"number": {}},
        "Segment": chosen("CRITICAL", "URGENT", "OPTIMIZE"),
        "Christmas Campaign Status": chosen("Nurture Sequence", "Pre-Call Prep"),
        "Booking Status": chosen("Not Booked", "Booked", "Completed", "No-Show"),
        "Phase": chosen("Phase 1 Assessment", "Phase 1 Diagnostic"),
        "Diagnostic Call Date": {"date": {}},
        **{f"Christmas Email {number} Sent": {"checkbox": {}} for number in range(1, 8)},
    },
    ANALYTICS: SCHEMAS[ANALYTICS] | {"Status": chosen("sent", "failed"), "Campaign": chosen("Christmas Campaign")},
}


def furnish(store: NotionStore) -> dict[str, str]:
    """Create the five databases of before, with the templates; Secret block name → database id."""
    return fill(store, OF_BEFORE)
