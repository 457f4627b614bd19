"""Why a run of ours is not handed over, by what is kept at Prefect for each person: theirs would ask nobody."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from flows.operator.cutover.returning import Return
from flows.recipients import confirmation, suppression

if TYPE_CHECKING:
    from collections.abc import Iterable

    from flows.services.prefect_api import Prefect


def asked(prefect: Prefect, those: Iterable[Return]) -> list[Return]:
    """The same, each with why nothing of it must be sent by who asks Prefect for nothing.

    Raises SuppressionUnreadableError, httpx.HTTPError: not readable means not handed over.
    """
    known, found = dict[tuple[str, str, str, str], str](), list[Return]()
    for one in those:
        who = one.email, one.sequence.campaign, one.sequence.kind, one.asks  # of all mails of a person it is the same
        if not one.keeps and who not in known:
            known[who] = _why_not(prefect, one)
        found.append(one if one.keeps else replace(one, keeps=known[who]))
    return found


def _why_not(prefect: Prefect, one: Return) -> str:
    if reason := suppression.why_not(prefect, one.email, one.sequence):
        return reason
    return "the enrolment is not confirmed" if one.asks and not confirmation.confirmed(prefect, one.asks) else ""
