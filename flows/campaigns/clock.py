"""Times as others write them, and a time of day by the local clock, also when clocks are changed. Pure."""

from __future__ import annotations

import re
from datetime import UTC, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

_TIME = re.compile(r"([01]\d|2[0-3]):([0-5]\d)")


def instant(text: str) -> datetime:
    """A time as a service, a caller or a person writes it: without a zone it is read as UTC.

    Raises:
        ValueError: it is none.
    """
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def parse(text: Any) -> time:
    """A time of day as a campaign's file has it.

    Raises:
        ValueError: it is none.
    """
    found = _TIME.fullmatch(str(text))
    if found is None:
        raise ValueError(f"{text!r} is no time of day such as 09:00")
    return time(int(found[1]), int(found[2]))


def next_at(moment: datetime, clock: time, zone: str) -> datetime:
    """The first time, not before a moment, at which the clocks of a zone show a time of day.

    A time that clocks skip when they are put forward comes as much later; of one that comes twice, both count.
    """
    local = ZoneInfo(zone)
    first = moment.astimezone(local).date()
    # Yesterday's as well: a time of yesterday that clocks skipped may come today.
    days = [first + timedelta(days=ahead) for ahead in (-1, 0, 1, 2)]
    found = [datetime.combine(day, clock.replace(fold=fold), local).astimezone(UTC) for day in days for fold in (0, 1)]
    skipped = {one for one in found[1::2] if one.astimezone(local).time() != clock}  # before the gap, not after it
    return min(one for one in found if one >= moment and one not in skipped)
