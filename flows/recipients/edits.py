"""What people change on contacts in Notion, on whichever page of a mailbox: kept where each send finds it.

A send sees the contact that its record leads to. An address may have another, which a handler made within Notion's lag,
or somebody by hand; and a mailbox has more addresses than one. Who has left by an edit is kept as a suppression; which
pages show a booking, in a variable for each mailbox. Whoever finds the last look too old looks himself.
"""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime, timedelta
from itertools import batched
from typing import TYPE_CHECKING, Any

from flows.recipients import contact, control, suppression
from flows.recipients.mailbox import mailbox
from flows.services import notion_schema as schema

if TYPE_CHECKING:
    from collections.abc import Iterable

    from flows.campaigns.model import Sequence
    from flows.services.notion_gateway import NotionGateway
    from flows.services.prefect_api import Prefect

SEEN = "hublab-contacts-seen"  # the variable that says when contacts were looked at, and up to which edit
FIRST = timedelta(days=1)
EVER = datetime(2000, 1, 1, tzinfo=UTC)
# Notion says to the minute when a page was edited, and its queries lag behind.
OVERLAP = timedelta(minutes=5)
# With the lag of a query, an edit is known within two minutes. Longer than from one look of the reader's to the next.
FRESH = timedelta(seconds=75)
AHEAD = timedelta(seconds=5)  # by so much a host's clock may be ahead of another's
NAMES = 200  # variables that Prefect gives at once
ROOM = 4_000  # a variable holds 5,000 characters


def fresh(looked: str | None, now: datetime) -> bool:
    """Whether a look at that time is new enough to go by; one that is in the future, by another's clock, is not."""
    return bool(looked) and -AHEAD <= now - datetime.fromisoformat(str(looked)) <= FRESH


def look(prefect: Prefect, notion: NotionGateway, now: datetime, *, whole: bool = False) -> int:
    """Keep what was edited since the last look; how many addresses have left by it.

    Args:
        prefect: where it is kept.
        notion: whose contacts are read.
        now: when this look begins.
        whole: read every contact, however long ago it was edited, unless that was done before.

    Raises:
        NotionError: contacts could not be read, and the next look begins where this one did.
        UnreadableRecordError: a contact has no status that could be read.
    """
    kept = prefect.variable(SEEN) or {}
    whole = whole and not kept.get("whole")
    # By Notion's clock: it is the newest edit that was seen.
    last = datetime.fromisoformat(kept["at"]) if "at" in kept else now - FIRST
    since = EVER if whole else last - OVERLAP
    edited = {"timestamp": "last_edited_time", "last_edited_time": {"on_or_after": since.isoformat()}}
    pages = [page for page in notion.find(schema.CONTACTS, edited) if schema.read(page, "Email")]
    gone = _keep_who_left(prefect, pages, now)
    _keep_bookings(prefect, pages)
    times = [datetime.fromisoformat(page["last_edited_time"]) for page in pages]
    seen = {"at": max([last, *times]).isoformat(), "looked": now.astimezone(UTC).isoformat()}
    prefect.remember(SEEN, seen | {"whole": whole or bool(kept.get("whole"))})
    return gone


def why_not(  # noqa: PLR0913 - who asks, of whom, and when
    prefect: Prefect,
    notion: NotionGateway,
    sequence: Sequence,
    enrolment: dict[str, Any],
    kept: dict[str, Any],
    now: datetime,
) -> str | None:
    """The reason why a mail must not go out, as other contacts of the mailbox tell, or None. Looks where that is due.

    `kept` has the variables `SEEN` and `booked_name` as they were just read. A page that is kept as booked is read
    again: it may have been put right, or thrown away. Who has left by an edit is suppressed by then. Raises as `look`.
    """
    email, enrolled = enrolment["email"], datetime.fromisoformat(enrolment["enrolled_at"])
    name = booked_name(email)
    if not fresh((kept.get(SEEN) or {}).get("looked"), now):
        look(prefect, notion, now)
        kept = prefect.variables([name])
    # What has enrolled him was a newer booking than those before it; Notion has edits to the minute.
    enrolled = (enrolled if enrolled.tzinfo else enrolled.replace(tzinfo=UTC)).replace(second=0, microsecond=0)
    since = enrolled if contact.BOOKING in sequence.contact else EVER
    suspects = [
        identity
        for identity, one in (kept.get(name) or {}).items()
        if datetime.fromisoformat(one["at"]) >= since and control.booked(one["bookings"], sequence)
    ]
    pages = [contact.page_of(notion, identity) for identity in suspects]
    there = [page for page in pages if page and mailbox(str(schema.read(page, "Email"))) == mailbox(email)]
    return control.booked(contact.of(there).bookings, sequence)


def booked_name(email: str) -> str:
    """The variable that keeps which contacts of a mailbox show a booking."""
    return f"booked-{hashlib.sha256(mailbox(email).encode()).hexdigest()[:32]}"


def _keep_who_left(prefect: Prefect, pages: list[dict[str, Any]], now: datetime) -> int:
    gone = {
        suppression.record_name(email, cause): (email, cause)
        for page in pages
        for cause in suppression.causes_of(contact.of([page]).statuses)
        for email in [str(schema.read(page, "Email"))]
    }
    known = _variables(prefect, gone)
    new = [one for name, one in sorted(gone.items()) if name not in known]
    for email, cause in new:
        suppression.record(prefect, email, cause, now.isoformat(), "a contact in Notion")
    return len({mailbox(email) for email, _ in new})


def _keep_bookings(prefect: Prefect, pages: list[dict[str, Any]]) -> None:
    shown: dict[str, dict[str, Any]] = {}
    for page in pages:
        one = {"at": page["last_edited_time"], "bookings": list(contact.of([page]).bookings)}
        shown.setdefault(booked_name(str(schema.read(page, "Email"))), {})[page["id"]] = one
    known = _variables(prefect, shown)
    for name, those in shown.items():
        before = known.get(name) or {}
        after = {identity: one for identity, one in (before | those).items() if one["bookings"]}
        while len(json.dumps(after)) > ROOM:
            del after[min(after, key=lambda identity: str(after[identity]["at"]))]
        if after and after != before:
            prefect.remember(name, after)
        elif before and not after:
            prefect.forget(name)


def _variables(prefect: Prefect, names: Iterable[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for some in batched(names, NAMES):
        found |= prefect.variables(list(some))
    return found
