"""When a mail that is due may go: after what comes before it, not on its heels, and not in the night. Pure.

After a pause or an outage several mails of one person are due at once. They keep their order, and half of the distance
that was planned between them, up to twelve hours.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from flows.campaigns.clock import instant
from flows.campaigns.plan import planned
from flows.services.notion_schema import read

if TYPE_CHECKING:
    from collections.abc import Iterable

    from flows.campaigns.plan import Planned

MOST_GAP = timedelta(hours=12)


def gap(plan: Iterable[Planned], earlier: int, later: int) -> timedelta:
    """The least time between two mails of a plan."""
    due = {one.number: one.due for one in plan}
    return max(timedelta(), min(MOST_GAP, (due[later] - due[earlier]) / 2))


def after_the_last(page: dict[str, Any], plan: tuple[Planned, ...], number: int) -> datetime | None:
    """The earliest time for a mail, by when those before it went out; None when none did."""
    times = [
        sent + gap(plan, one.number, number)
        for one in plan
        if one.number < number and (sent := _instant(str(read(page, f"Email {one.number} Sent"))))
    ]
    return max(times, default=None)


def still_to_come(page: dict[str, Any], plan: tuple[Planned, ...], number: int) -> list[Planned]:
    """The mails of a plan that were due before this one and are not recorded as sent."""
    mine = planned(plan, number)
    return [one for one in plan if one.due < mine.due and not read(page, f"Email {one.number} Sent")]


def _instant(text: str) -> datetime | None:
    """A mark's time; None where there is none, or a person wrote one that no clock reads: it is a mark all the same."""
    try:
        return instant(text)
    except ValueError:
        return None
