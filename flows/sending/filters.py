"""What a template may write behind a variable: a closed list of filters. Pure."""

from __future__ import annotations

from datetime import date, datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    from collections.abc import Callable


def default(value: str, text: str) -> str:
    """The template's own words where the contact's field is empty."""
    return value or text


def _when(value: str, zone: str) -> datetime:
    found = datetime.fromisoformat(value)
    return found.astimezone(ZoneInfo(zone)) if found.tzinfo else found


def _day(value: str, zone: str) -> str:
    # A day without a time is that day everywhere.
    found = date.fromisoformat(value) if len(value) == len("2025-12-01") else _when(value, zone)
    return f"{found:%A}, {found:%B} {found.day}, {found.year}"


def _time(value: str, zone: str) -> str:
    if len(value) == len("2025-12-01"):
        raise ValueError(f"{value} has no time")
    found = _when(value, zone)
    return f"{found.hour % 12 or 12}:{found:%M %p}"


def _number(value: str) -> str:
    amount = float(value)
    return f"{amount:,.0f}" if amount.is_integer() else f"{amount:,.2f}"


NAMES = frozenset({"default", "date", "time", "number"})


def of(zone: str) -> dict[str, Callable[..., str]]:
    """The filters, with dates and times as they are in a time zone (`America/Toronto`)."""
    return {
        "default": default,
        "date": lambda value: _day(value, zone),
        "time": lambda value: _time(value, zone),
        "number": _number,
    }
