"""Which contacts and records a look reads: what was edited since the last one; of what is too much, a portion.

However many there are, a look takes some twenty calls for each of the two. What is too much for it (the first look in
a large workspace, an import, a change to many rows at once) is read in the order in which it was created, which no edit
changes, by this look and those after it. How far that came is kept with the rest; until it is through, a send asks for
the contacts of its own mailbox.
"""

from __future__ import annotations

import string
from datetime import UTC, datetime, timedelta
from itertools import batched
from typing import TYPE_CHECKING, Any, NamedTuple

from flows.services import notion_schema as schema
from flows.services.errors import NotionTooManyError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from flows.services.notion_gateway import NotionGateway

EVER = datetime(2000, 1, 1, tzinfo=UTC)
# Notion says to the minute when a page was edited or created, and its queries lag behind.
MINUTE, OVERLAP = timedelta(minutes=1), timedelta(minutes=5)
PORTION = 1_000  # pages of a database that a look reads
STOPS = ("Cancelled", "Sequence Completed")  # what people tick on a record
CONDITIONS = 100  # of one query, by Notion's limit
LETTERS = string.ascii_lowercase + string.digits  # by which those of a full minute are told apart
Page = dict[str, Any]


class Read(NamedTuple):
    """The `pages` of each database that were read, and the `state` with which the next look begins."""

    pages: dict[str, list[Page]]
    state: dict[str, Any]


def read(notion: NotionGateway, state: dict[str, Any], keys: Iterable[str], *, on: bool) -> Read:
    """Read what was edited, and go `on` with what was too much for the looks before; of all enrolments of `keys`.

    `state` is the last one's, empty at first: `at`, the newest edit that was seen, by Notion's clock; `walk`, for each
    database that is still being read since which edit and from which creation on.

    Raises:
        NotionError: something could not be read.
        NotionTooManyError: more than Notion answers were created within one minute, and cannot be told apart.
    """
    last = datetime.fromisoformat(state["at"]) if state else EVER
    since = last - OVERLAP if state else EVER
    walk, newest = dict(state.get("walk") or {}), [last]
    keyed = [{"property": "Enrolment Key", "rich_text": {"equals": key}} for key in keys]
    pages: dict[str, list[Page]] = {}
    for block, more in ((schema.CONTACTS, []), (schema.SEQUENCE, keyed)):
        pages[block], full = _some(notion, block, [*_asked(block, since), *more])
        begun = walk.get(block)
        if full:
            walk[block] = [begun[0] if begun else since.isoformat(), EVER.isoformat()]
        elif on and begun:
            found, upto = _portion(notion, block, *map(datetime.fromisoformat, begun))
            pages[block] += found
            if upto:
                walk[block] = [begun[0], upto.isoformat()]
            else:
                del walk[block]
        if block == schema.CONTACTS:  # before the records are read: what is edited meanwhile is newer than this
            seen = [*pages[block], *(notion.newest(block) if full else ())]
            newest += [datetime.fromisoformat(page["last_edited_time"]) for page in seen]
    return Read(pages, {"at": max(newest).isoformat(), "walk": walk})


def _some(notion: NotionGateway, block: str, wanted: list[dict[str, Any]]) -> tuple[list[Page], bool]:
    """The pages that meet one of these conditions, and whether there are more of them than a portion."""
    found, full = dict[str, Page](), False
    for some in batched(wanted, CONDITIONS):
        pages, more = notion.some(block, {"or": list(some)}, PORTION)
        found |= {page["id"]: page for page in pages}
        full |= more
    return list(found.values()), full


def _asked(block: str, since: datetime, *more: dict[str, Any]) -> list[dict[str, Any]]:
    """Contacts that were edited since then, or records that were, and are stopped (at the first look: cancelled)."""
    edited = [_time("last_edited_time", on_or_after=since), *more]
    if block == schema.CONTACTS:
        return [{"and": edited}]
    ticked = STOPS[:1] if since == EVER else STOPS
    return [{"and": [*edited, {"property": name, "checkbox": {"equals": True}}]} for name in ticked]


def _portion(notion: NotionGateway, block: str, since: datetime, start: datetime) -> tuple[list[Page], datetime | None]:
    """Some of the pages created from then on, and where the next portion starts; None behind the last one."""
    pages, more = notion.some(block, {"or": _asked(block, since, _time("created_time", on_or_after=start))}, PORTION)
    if not more:
        return pages, None
    upto = datetime.fromisoformat(pages[-1]["created_time"])
    if upto > start:
        return pages, upto
    minute = _time("created_time", on_or_after=upto), _time("created_time", before=upto + MINUTE)
    return _apart(notion, block, since, minute, LETTERS), upto + MINUTE


def _apart(
    notion: NotionGateway, block: str, since: datetime, within: tuple[dict[str, Any], ...], letters: str
) -> list[Page]:
    """All pages within a minute: where Notion does not answer so many, those whose address has a letter, and others."""
    try:
        return notion.some(block, {"or": _asked(block, since, *within)})[0]
    except NotionTooManyError:
        if not letters:
            raise
    has, lacks = ({"property": "Email", "email": {how: letters[0]}} for how in ("contains", "does_not_contain"))
    return [page for half in (has, lacks) for page in _apart(notion, block, since, (*within, half), letters[1:])]


def _time(which: str, **compared: datetime) -> dict[str, Any]:
    return {"timestamp": which, which: {how: when.isoformat() for how, when in compared.items()}}
