"""Why a run of ours is not handed over, by what is kept at Prefect for each mailbox: theirs would ask nobody."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from flows.operator.cutover.returning import Return
from flows.recipients import confirmation, edits, suppression

if TYPE_CHECKING:
    from collections.abc import Iterable

    from flows.services.notion_gateway import NotionGateway
    from flows.services.prefect_api import Prefect


def asked(prefect: Prefect, notion: NotionGateway, those: Iterable[Return], *, looks: bool = True) -> list[Return]:
    """The same, each with why nothing of it must be sent by who asks for nothing.

    With `looks`, what people have edited in Notion is looked at before, and kept; without, nothing is written.

    Raises SuppressionUnreadableError, NotionError, UnreadableRecordError, httpx.HTTPError: not readable means not
    handed over.
    """
    known, found = dict[tuple[str, str], str](), list[Return]()
    if looks:
        edits.look(prefect, notion, prefect.now())
    for one in those:
        who = _enrolment(one)["key"], one.asks  # of all mails of an enrolment it is the same
        if not one.keeps and who not in known:
            known[who] = _why_not(prefect, notion, one, looks=looks) or ""
        found.append(one if one.keeps else replace(one, keeps=known[who]))
    return found


def _why_not(prefect: Prefect, notion: NotionGateway, one: Return, *, looks: bool) -> str | None:
    name, enrolment = edits.booked_name(one.email), _enrolment(one)
    reason, kept = suppression.look(prefect, one.email, one.sequence, edits.SEEN, name)
    if reason:
        return reason
    if one.asks and not confirmation.confirmed(prefect, one.asks):
        return "the enrolment is not confirmed"
    if looks:
        return edits.why_not(prefect, notion, one.sequence, enrolment, kept, prefect.now())
    return edits.by_others(notion, one.sequence, enrolment, kept.get(name) or {})


def _enrolment(one: Return) -> dict[str, Any]:
    """What the run of a mail was given; of a signup that waits, what is known of it."""
    waits = {"key": one.key, "email": one.email, "page": "", "enrolled_at": one.due.isoformat()}
    return one.run.parameters.get("enrolment") or waits
