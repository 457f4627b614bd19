"""Notion's property values: what a write may contain, and how a read shows it.

Follows developers.notion.com/reference/property-value-object and /reference/request-limits.
"""

from __future__ import annotations

import re
from datetime import date, datetime
from typing import Any

MAX_TEXT = 2000
MAX_ITEMS = 100
MAX_EMAIL = 200
MAX_OPTION = 100
WRITABLE = frozenset({"title", "rich_text", "email", "number", "select", "date", "checkbox", "relation", "url"})


class InvalidRequest(Exception):  # noqa: N818 - the name of Notion's error is validation_error
    """A request that Notion would answer with 400 `validation_error`."""


def written(name: str, kind: str, value: Any) -> Any:
    """The stored form of one property value of a write.

    Raises:
        InvalidRequest: the value is not of the property's type or is over a documented limit.
    """
    if not isinstance(value, dict):
        raise InvalidRequest(f"body failed validation: body.properties.{name} should be an object.")
    if kind not in WRITABLE:
        raise InvalidRequest(f"{name} is a {kind} property and cannot be written.")
    extra = set(value) - {kind, "type", "id"}
    if kind not in value or extra:
        raise InvalidRequest(f"{name} is expected to be {kind}.")
    return _CHECKS[kind](name, value[kind])


def _texts(name: str, value: Any, kind: str = "rich_text") -> list[dict[str, Any]]:
    path = f"body.properties.{name}.{kind}"
    if not isinstance(value, list):
        raise InvalidRequest(f"body failed validation: {path} should be an array.")
    if len(value) > MAX_ITEMS:
        raise InvalidRequest(
            f"body failed validation: {path}.length should be ≤ `{MAX_ITEMS}`, instead was `{len(value)}`."
        )
    return [_text(f"{path}[{i}]", item) for i, item in enumerate(value)]


def _text(path: str, item: Any) -> dict[str, Any]:
    try:
        content = item["text"]["content"]
    except (TypeError, KeyError):
        raise InvalidRequest(f"body failed validation: {path}.text.content should be defined.") from None
    if not isinstance(content, str):
        raise InvalidRequest(f"body failed validation: {path}.text.content should be a string.")
    if len(content) > MAX_TEXT:
        raise InvalidRequest(
            f"body failed validation: {path}.text.content.length should be ≤ `{MAX_TEXT}`, "
            f"instead was `{len(content)}`."
        )
    return {"type": "text", "text": {"content": content, "link": None}, "plain_text": content, "href": None}


def _title(name: str, value: Any) -> list[dict[str, Any]]:
    return _texts(name, value, "title")


def _email(name: str, value: Any) -> str | None:
    if value is not None and (not isinstance(value, str) or not value or len(value) > MAX_EMAIL):
        raise InvalidRequest(f"{name} is expected to be email.")
    return value


def _url(name: str, value: Any) -> str | None:
    if value is not None and (not isinstance(value, str) or not value or len(value) > MAX_TEXT):
        raise InvalidRequest(f"{name} is expected to be url.")
    return value


def _number(name: str, value: Any) -> float | None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise InvalidRequest(f"{name} is expected to be number.")
    return value


def _select(name: str, value: Any) -> dict[str, Any] | None:
    if value is None:
        return None
    option = value.get("name") if isinstance(value, dict) else None
    if not isinstance(option, str) or not option or len(option) > MAX_OPTION:
        raise InvalidRequest(f"body failed validation: body.properties.{name}.select.name should be a string.")
    if "," in option:
        raise InvalidRequest(f"Invalid select option, commas not allowed: {option}")
    return {"id": option.lower()[:4], "name": option, "color": "default"}


_ISO_DAY = re.compile(r"\d{4}-\d{2}-\d{2}$")


def _date(name: str, value: Any) -> dict[str, Any] | None:
    if value is None:
        return None
    if not isinstance(value, dict) or not isinstance(value.get("start"), str):
        raise InvalidRequest(f"body failed validation: body.properties.{name}.date.start should be defined.")
    for end in ("start", "end"):
        if value.get(end) is not None:
            _instant(name, value[end])
    return {"start": value["start"], "end": value.get("end"), "time_zone": value.get("time_zone")}


def _instant(name: str, text: str) -> None:
    try:
        date.fromisoformat(text) if _ISO_DAY.match(text) else datetime.fromisoformat(text)
    except ValueError:
        raise InvalidRequest(
            f"body failed validation: body.properties.{name}.date.start should be a valid ISO 8601 date string, "
            f"instead was `{text!r}`."
        ) from None


def _checkbox(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise InvalidRequest(f"{name} is expected to be checkbox.")
    return value


def _relation(name: str, value: Any) -> list[dict[str, str]]:
    if not isinstance(value, list) or len(value) > MAX_ITEMS:
        raise InvalidRequest(f"body failed validation: body.properties.{name}.relation should be an array.")
    try:
        return [{"id": item["id"]} for item in value]
    except (TypeError, KeyError):
        raise InvalidRequest(f"body failed validation: body.properties.{name}.relation[0].id is needed.") from None


_CHECKS = {
    "title": _title,
    "rich_text": _texts,
    "email": _email,
    "url": _url,
    "number": _number,
    "select": _select,
    "date": _date,
    "checkbox": _checkbox,
    "relation": _relation,
}
EMPTY: dict[str, Any] = {
    "title": [],
    "rich_text": [],
    "relation": [],
    "checkbox": False,
}


def plain(kind: str, value: Any) -> Any:
    """What a filter or a sort compares: text joined, an option's name, a date's start."""
    if kind in {"title", "rich_text"}:
        return "".join(piece["plain_text"] for piece in value or [])
    if kind == "select":
        return value["name"] if value else None
    if kind == "date":
        return value["start"] if value else None
    if kind == "relation":
        return [item["id"] for item in value or []]
    return value
