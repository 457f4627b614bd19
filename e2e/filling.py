"""A template filled in, by the contract for authors: `{{ name }}`, and one of four filters behind it. Pure."""

from __future__ import annotations

import re
from datetime import date, datetime
from html import escape
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    from collections.abc import Mapping

_PLACE = re.compile(r"""\{\{\s*(\w+)\s*(?:\|\s*(\w+)\s*(?:\(\s*(?:"([^"]*)"|'([^']*)')\s*\))?\s*)?\}\}""")
_IN_SUBJECT = 60


def names(text: str) -> set[str]:
    """The variables that a template's text names."""
    return {found[1] for found in _PLACE.finditer(text)}


def html(text: str, values: Mapping[str, str], zone: str = "UTC") -> str:
    """A body with its variables filled in, as text in HTML; what is not known stays as it is."""
    return _PLACE.sub(lambda found: escape(_value(found, values, zone), quote=True), text)


def subject(text: str, values: Mapping[str, str], zone: str = "UTC") -> str:
    """A subject with its variables filled in: a value in one line, and its first sixty characters."""
    short = {name: _short(" ".join(value.split())) for name, value in values.items()}
    return _PLACE.sub(lambda found: _value(found, short, zone), text).strip()


def _short(value: str) -> str:
    return value if len(value) <= _IN_SUBJECT else f"{value[: _IN_SUBJECT - 1].rstrip()}…"


def _value(found: re.Match[str], values: Mapping[str, str], zone: str) -> str:
    value, kind = values.get(found[1], ""), found[2]
    if kind == "default":
        return value or found[3] or found[4] or ""
    if not value:
        return found[0]
    try:
        return value if kind is None else _FILTERS[kind](value, ZoneInfo(zone))
    except (KeyError, ValueError):
        return found[0]


def _number(value: str, _: ZoneInfo) -> str:
    return f"{float(value):,.2f}".removesuffix(".00")


def _date(value: str, zone: ZoneInfo) -> str:
    day = _there(value, zone) if "T" in value else date.fromisoformat(value)
    return f"{day:%A, %B} {day.day}, {day.year}"


def _time(value: str, zone: ZoneInfo) -> str:
    return f"{_there(value, zone):%I:%M %p}".removeprefix("0")


def _there(value: str, zone: ZoneInfo) -> datetime:
    found = datetime.fromisoformat(value)
    return found.astimezone(zone) if found.tzinfo else found


_FILTERS = {"number": _number, "date": _date, "time": _time}
