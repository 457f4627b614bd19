"""How moments, durations and foreign text are written, the same in every part of the report. Pure."""

from __future__ import annotations

import re
from datetime import UTC
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

# What XML, and so the browser and every reader of JUnit's files, does not accept in a text.
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_MINUTE, _HOUR = 60, 3600


def clean(text: str) -> str:
    """A text from outside with its control characters replaced, so that it may stand in XML and HTML."""
    return _UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", text)


def line(text: str, most: int) -> str:
    """A text from outside in one line of at most so many characters."""
    whole = " ".join(clean(text).split())
    return whole if len(whole) <= most else whole[: most - 1].rstrip() + "…"


def day(moment: datetime) -> str:
    """`Friday 14 November 2025`, in UTC."""
    there = moment.astimezone(UTC)
    return f"{there:%A} {there.day} {there:%B %Y}"


def clock(moment: datetime, began: datetime) -> str:
    """`08:01:00`, in UTC; with `+1 d` on a later day than that of the beginning."""
    there = moment.astimezone(UTC)
    days = (there.date() - began.astimezone(UTC).date()).days
    return f"{there:%H:%M:%S}" + (f" {days:+d} d" if days else "")


def minute(moment: datetime) -> str:
    """`08:01`, in UTC, of what is known no better."""
    return f"{moment.astimezone(UTC):%H:%M}"


def iso(moment: datetime) -> str:
    """`2025-11-14T08:01:00.000Z`."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def span(seconds: float) -> str:
    """`0.42 s`, `12.3 s`, `2 min 05 s`, `1 h 02 min`."""
    sign, size = ("−" if seconds < 0 else ""), abs(seconds)
    whole = round(size)
    if size < 1:
        return f"{sign}{size:.2f} s"
    if round(size, 1) < _MINUTE:
        return f"{sign}{size:.1f} s"
    if whole < _HOUR:
        return f"{sign}{whole // _MINUTE} min {whole % _MINUTE:02d} s"
    return f"{sign}{whole // _HOUR} h {whole % _HOUR // _MINUTE:02d} min"
