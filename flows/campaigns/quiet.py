"""Quiet hours: from when until when, by the local clock, nothing is sent. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

_HOURS = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)")
DAY, MOST = 24 * 60, 12 * 60  # minutes


@dataclass(frozen=True)
class Quiet:
    """The hours of every day, or of the night where `end` comes before `start`."""

    start: time
    end: time

    def has(self, clock: time) -> bool:
        """Whether a time of day is one of the quiet hours."""
        by_day, by_night = self.start <= clock < self.end, clock >= self.start or clock < self.end
        return by_day if self.start < self.end else by_night

    def until(self, now: datetime, zone: str) -> datetime | None:
        """The end of the quiet hours that a moment falls into, by the clock of a zone; None when it falls into none."""
        local = now.astimezone(ZoneInfo(zone))
        clock = local.time()
        if not self.has(clock):
            return None
        day = local.date() + timedelta(days=clock >= self.end)
        ends = (datetime.combine(day, self.end.replace(fold=fold), ZoneInfo(zone)).astimezone(UTC) for fold in (0, 1))
        # Where clocks are put back the end may come twice; after the first, the hours go on until the second.
        return next((one for one in ends if one > now), None)


def parse(text: Any) -> Quiet:
    """Quiet hours as a campaign's file has them.

    Raises:
        ValueError: not two times of a day, or more than twelve hours: a frozen mail must go while Resend knows its key.
    """
    found = _HOURS.fullmatch(str(text))
    if found is None:
        raise ValueError(f"{text!r} is no time of day such as 21:00-08:00")
    start, end = time(int(found[1]), int(found[2])), time(int(found[3]), int(found[4]))
    minutes = (end.hour * 60 + end.minute - start.hour * 60 - start.minute) % DAY
    if not 0 < minutes <= MOST:
        raise ValueError(f"{text!r} is not between a minute and twelve hours")
    return Quiet(start, end)
