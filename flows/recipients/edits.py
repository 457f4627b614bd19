"""What people change in Notion, on whichever contact or record of a mailbox: kept where each send finds it.

A send sees its own record, and the contact that this leads to. There may be another of either, which a handler made
within Notion's lag, or somebody by hand; and a mailbox has more addresses than one. Who has left by an edit is kept as
a suppression; which contacts show a booking and which records were stopped, in a variable for each mailbox. Whoever
finds the last look too old looks himself, and until everything has been read, asks for his own mailbox.
"""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime, timedelta
from itertools import batched
from typing import TYPE_CHECKING, Any, NamedTuple

from flows.campaigns import plan as plans
from flows.campaigns.clock import instant
from flows.recipients import contact, control, reading, suppression
from flows.recipients.mailbox import mailbox
from flows.services import notion_schema as schema

if TYPE_CHECKING:
    from collections.abc import Iterable

    from flows.campaigns.model import Sequence
    from flows.services.notion_gateway import NotionGateway
    from flows.services.prefect_api import Prefect

SEEN = "hublab-contacts-seen"  # the variable that says when Notion was looked at, and how far: `reading`
WHOLE = "call dates"  # what a look at every contact has seen last: after one of before, everything is read again
# With the lag of a query, an edit is known within two minutes. Longer than from one look of the reader's to the next.
FRESH = timedelta(seconds=75)
LONG = timedelta(hours=1)  # a service may be away for so long before somebody is told; the watch looks as well
AHEAD = timedelta(seconds=5)  # by so much a host's clock may be ahead of another's
NAMES = 200  # variables that Prefect gives at once
ROOM = 4_000  # a variable holds 5,000 characters


def fresh(looked: str | None, now: datetime) -> bool:
    """Whether a look at that time is new enough to go by; one that is in the future, by another's clock, is not."""
    return bool(looked) and -AHEAD <= now - datetime.fromisoformat(str(looked)) <= FRESH


def not_since(prefect: Prefect, now: datetime) -> str:
    """Since when nobody has read what people edit, in words, once that is an hour; else empty. Raises httpx.HTTPError.

    Whoever has never looked may have nothing to look at yet: that is none of it.
    """
    looked = (prefect.variable(SEEN) or {}).get("looked")
    since = datetime.fromisoformat(looked) if looked else now
    return f"{since:%Y-%m-%d %H:%M} UTC" if now - since > LONG else ""


class Seen(NamedTuple):
    """What a look has found: how many addresses have `gone`, and the `records` that were asked for."""

    gone: int
    records: list[dict[str, Any]]


def look(
    prefect: Prefect, notion: NotionGateway, now: datetime, *, whole: bool = False, keys: Iterable[str] = ()
) -> Seen:
    """Keep what was edited since the last look.

    Args:
        prefect: where it is kept.
        notion: whose contacts and records are read.
        now: when this look begins.
        whole: go on as well with what was too much for the looks before.
        keys: of the enrolments whose records are wanted as well, with the same calls.

    Raises:
        NotionError: something could not be read, and the next look begins where this one did.
        UnreadableRecordError: a contact has no status, booking or address that could be read.
    """
    kept = prefect.variable(SEEN) or {}
    pages, state = reading.read(notion, kept if kept.get("whole") == WHOLE else {}, keys, on=whole)
    gone = _keep_all(prefect, pages, now)
    prefect.remember(SEEN, state | {"looked": now.astimezone(UTC).isoformat(), "whole": WHOLE})
    return Seen(gone, pages[schema.SEQUENCE])


def _ask(prefect: Prefect, notion: NotionGateway, email: str, now: datetime) -> None:
    """Keep what the contacts and records of one mailbox say now: not all have been looked at yet. Raises as `look`."""
    blocks = schema.CONTACTS, schema.SEQUENCE
    _keep_all(prefect, {block: contact.of_mailbox(notion, block, email) for block in blocks}, now)


def _keep_all(prefect: Prefect, pages: dict[str, list[dict[str, Any]]], now: datetime) -> int:
    """Keep what pages say; of how many people it was new that they have left."""
    contacts = [page for page in pages[schema.CONTACTS] if contact.address(page)]
    named = [page for page in pages[schema.SEQUENCE] if contact.address(page, schema.SEQUENCE)]
    stopped = [page for page in named if any(schema.read(page, name) for name in reading.STOPS)]
    gone = _keep_who_left(prefect, contacts, now)
    _keep(prefect, [*map(_booked, contacts), *map(_stopped, stopped)])
    return gone


def why_not(  # noqa: PLR0913 - who asks, of whom, and when
    prefect: Prefect,
    notion: NotionGateway,
    sequence: Sequence,
    enrolment: dict[str, Any],
    kept: dict[str, Any],
    now: datetime,
) -> str | None:
    """The reason why a mail must not go out, as other pages of the mailbox tell, or None. Looks where that is due.

    `kept` has the variables `SEEN` and `booked_name` as they were just read. A page that is kept as booked or stopped
    is read again: it may have been put right, or thrown away. Who has left by an edit is suppressed by then. Raises as
    `look`.
    """
    email = enrolment["email"]
    name = booked_name(email)
    if not fresh((kept.get(SEEN) or {}).get("looked"), now):
        look(prefect, notion, now)
        kept = prefect.variables([SEEN, name])
    seen = kept.get(SEEN)
    if seen and (seen.get("walk") or seen.get("whole") != WHOLE):
        _ask(prefect, notion, email, now)
        kept = prefect.variables([name])
    return by_others(notion, sequence, enrolment, kept.get(name) or {})


def by_others(
    notion: NotionGateway, sequence: Sequence, enrolment: dict[str, Any], suspects: dict[str, Any]
) -> str | None:
    """The same by what is kept of the mailbox under `booked_name`, without a look. Raises NotionError."""
    # What has enrolled him was a newer booking than those before it; Notion has edits to the minute.
    email, enrolled = enrolment["email"], instant(enrolment["enrolled_at"]).replace(second=0, microsecond=0)
    since = enrolled if contact.BOOKING in sequence.contact else reading.EVER
    booked = [
        identity
        for identity, one in suspects.items()
        if datetime.fromisoformat(one["at"]) >= since and control.booked(one.get("bookings", ()), sequence)
    ]
    pages = [contact.page_of(notion, identity) for identity in booked]
    there = [page for page in pages if page and mailbox(contact.address(page)) == mailbox(email)]
    if reason := control.booked(contact.of(there).bookings, sequence):
        return reason
    others = [identity for identity, one in suspects.items() if "stopped" in one and identity != enrolment["page"]]
    records = [contact.page_of(notion, identity, schema.SEQUENCE) for identity in others]
    return next(
        (
            reason
            for page in records
            if page and _same_enrolment(page, sequence, enrolment, enrolled)
            if (reason := control.stopped(page, plans.of(sequence, enrolment)))
        ),
        None,
    )


def _same_enrolment(page: dict[str, Any], sequence: Sequence, enrolment: dict[str, Any], enrolled: datetime) -> bool:
    """Whether a record is one more of an enrolment: with its key, or a person's for the same sequence since then.

    One without a key, as somebody makes by hand, may be of any campaign and type where it names none.
    """
    key, email = schema.read(page, "Enrolment Key"), contact.address(page, schema.SEQUENCE)
    if key == enrolment["key"]:
        return True
    if mailbox(email) != mailbox(enrolment["email"]) or datetime.fromisoformat(page["last_edited_time"]) < enrolled:
        return False
    if key:
        return bool(key == sequence.key(email))
    of = (schema.read(page, "Campaign") or sequence.label, schema.read(page, "Template Type") or sequence.type)
    return of == (sequence.label, sequence.type)


def booked_name(email: str) -> str:
    """The variable that keeps which contacts of a mailbox show a booking, and which of its records were stopped."""
    return f"booked-{hashlib.sha256(mailbox(email).encode()).hexdigest()[:32]}"


def _keep_who_left(prefect: Prefect, pages: list[dict[str, Any]], now: datetime) -> int:
    gone = {
        suppression.record_name(email, cause): (email, cause)
        for page in pages
        for cause in suppression.causes_of(contact.of([page]).statuses)
        for email in [contact.address(page)]
    }
    known = _variables(prefect, gone)
    new = [one for name, one in sorted(gone.items()) if name not in known]
    for email, cause in new:
        suppression.record(prefect, email, cause, now.isoformat(), "a contact in Notion")
    return len({mailbox(email) for email, _ in new})


def _booked(page: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    return page, {"bookings": list(contact.of([page]).bookings)}


def _stopped(page: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    return page, {"stopped": True}


def _keep(prefect: Prefect, pages: list[tuple[dict[str, Any], dict[str, Any]]]) -> None:
    """Keep what each page says for its mailbox, or forget it where it says nothing any more."""
    shown: dict[str, dict[str, Any]] = {}
    for page, said in pages:
        shown.setdefault(booked_name(contact.address(page)), {})[page["id"]] = {"at": page["last_edited_time"]} | said
    known = _variables(prefect, shown)
    for name, those in shown.items():
        before = known.get(name) or {}
        # Of two looks at once, the one that began first may write last: what it has read is older.
        newer = {one: said for one, said in those.items() if _instant(said) >= _instant(before.get(one, said))}
        after = {one: said for one, said in (before | newer).items() if said.get("bookings") or "stopped" in said}
        while len(json.dumps(after)) > ROOM:
            del after[min(after, key=lambda identity: str(after[identity]["at"]))]
        if after and after != before:
            prefect.remember(name, after)
        elif before and not after:
            prefect.forget(name)


def _instant(said: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(said["at"])


def _variables(prefect: Prefect, names: Iterable[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for some in batched(names, NAMES):
        found |= prefect.variables(list(some))
    return found
