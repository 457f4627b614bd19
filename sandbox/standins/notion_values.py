"""Notion's property values: what a write may contain, and how a read shows it.

Follows developers.notion.com/reference/property-value-object and /reference/request-limits.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from typing import Any

MAX_TEXT = 2000
MAX_ITEMS = 100
MAX_EMAIL = 200
MAX_OPTION = 100
MAX_PHONE = 200
WRITABLE = frozenset(
    {"title", "rich_text", "email", "number", "select", "date", "checkbox", "relation", "url", "phone_number"}
    | {"status", "multi_select"}
)


class InvalidRequest(Exception):  # noqa: N818 - the name of Notion's error is validation_error
    """A request that Notion would answer with 400 `validation_error`."""


def units(text: str) -> int:
    """A text's length as Notion counts it: in UTF-16, an emoji is two."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


_NAMES = {dict: "an object", list: "an array", str: "a string", bool: "a boolean"}


def typed[Kind: (dict[str, Any], list[Any], str, bool)](path: str, value: Any, kind: type[Kind]) -> Kind:
    """The value, which is of that type. Raises InvalidRequest, also for None: what may be null is said where it is."""
    if not isinstance(value, kind):
        said = "defined" if value is None else _NAMES[kind]
        raise InvalidRequest(f"body failed validation: {path} should be {said}, instead was `{value!r}`.")
    return value


def known(path: str, value: Any, allowed: frozenset[str], unmodelled: frozenset[str] = frozenset()) -> dict[str, Any]:
    """An object that has none but known keys. Raises InvalidRequest, also for one that is not modelled here."""
    found: dict[str, Any] = typed(path, value, dict)
    for key, given in found.items():
        if key in unmodelled:
            raise InvalidRequest(f"{path}.{key} is not modelled by the stand-in.")
        if key not in allowed | unmodelled:
            raise InvalidRequest(
                f"body failed validation: {path}.{key} should be not present, instead was `{given!r}`."
            )
    return found


def written(name: str, kind: str, value: Any) -> Any:
    """The stored form of one property value of a write.

    Raises:
        InvalidRequest: the value is not of the property's type or is over a documented limit.
    """
    typed(f"body.properties.{name}", value, dict)
    if kind not in WRITABLE:
        raise InvalidRequest(f"{name} is a {kind} property and cannot be written.")
    extra = set(value) - {kind, "type"}
    if kind not in value or extra or value.get("type", kind) != kind:
        raise InvalidRequest(f"{name} is expected to be {kind}.")
    return _CHECKS[kind](name, value[kind])


def _texts(name: str, value: Any, kind: str = "rich_text") -> list[dict[str, Any]]:
    path = f"body.properties.{name}.{kind}"
    if len(typed(path, value, list)) > MAX_ITEMS:
        raise InvalidRequest(
            f"body failed validation: {path}.length should be ≤ `{MAX_ITEMS}`, instead was `{len(value)}`."
        )
    return [_text(f"{path}[{i}]", item) for i, item in enumerate(value)]


def _text(path: str, item: Any) -> dict[str, Any]:
    item = known(path, item, frozenset({"type", "text"}), frozenset({"annotations", "mention", "equation"}))
    if item.get("type", "text") != "text":
        raise InvalidRequest(f"{path}.type: {item['type']!r} is not modelled by the stand-in.")
    text = known(f"{path}.text", item.get("text"), frozenset({"content", "link"}))
    if text.get("link") is not None:
        raise InvalidRequest(f"{path}.text.link is not modelled by the stand-in.")
    content = typed(f"{path}.text.content", text.get("content"), str)
    if units(content) > MAX_TEXT:
        raise InvalidRequest(
            f"body failed validation: {path}.text.content.length should be ≤ `{MAX_TEXT}`, "
            f"instead was `{units(content)}`."
        )
    return {"type": "text", "text": {"content": content, "link": None}, "plain_text": content, "href": None}


def _title(name: str, value: Any) -> list[dict[str, Any]]:
    return _texts(name, value, "title")


def _email(name: str, value: Any) -> str | None:
    if value is not None and (not isinstance(value, str) or not value or units(value) > MAX_EMAIL):
        raise InvalidRequest(f"{name} is expected to be email.")
    return value


def _url(name: str, value: Any) -> str | None:
    if value is not None and (not isinstance(value, str) or not value or units(value) > MAX_TEXT):
        raise InvalidRequest(f"{name} is expected to be url.")
    return value


def _phone(name: str, value: Any) -> str | None:
    if value is not None and (not isinstance(value, str) or not value or units(value) > MAX_PHONE):
        raise InvalidRequest(f"{name} is expected to be phone_number.")
    return value


def _number(name: str, value: Any) -> float | None:
    if value is not None and (
        isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value)
    ):
        raise InvalidRequest(f"{name} is expected to be number.")
    return value


def _select(name: str, value: Any) -> dict[str, Any] | None:
    if value is None:
        return None
    path = f"body.properties.{name}.select"
    option = known(path, value, frozenset({"name"}), frozenset({"id", "color"})).get("name")
    if not isinstance(option, str) or not option or units(option) > MAX_OPTION:
        raise InvalidRequest(f"body failed validation: {path}.name should be a string.")
    if "," in option:
        raise InvalidRequest(f"Invalid select option, commas not allowed: {option}")
    return {"id": option.lower()[:4], "name": option, "color": "default"}


def _options(name: str, value: Any) -> list[dict[str, Any]]:
    if not isinstance(value, list) or len(value) > MAX_ITEMS or None in value:
        raise InvalidRequest(f"body failed validation: body.properties.{name}.multi_select should be an array.")
    return [_select(name, item) or {} for item in value]


# Python reads more than the documentation has: weeks, days without hyphens, any sign between day and time.
_ISO = re.compile(r"\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:?\d{2})?)?")


def _date(name: str, value: Any) -> dict[str, Any] | None:
    if value is None:
        return None
    path = f"body.properties.{name}.date"
    known(path, value, frozenset({"start", "end", "time_zone"}))
    if value.get("time_zone") is not None:
        raise InvalidRequest(f"{path}.time_zone is not modelled by the stand-in.")
    start, end = instant(f"{path}.start", value.get("start")), value.get("end")
    if end is not None and instant(f"{path}.end", end) < start:
        raise InvalidRequest(f"body failed validation: {path}: the end {end} is before the start {value['start']}.")
    return {"start": value["start"], "end": end, "time_zone": None}


def instant(path: str, text: Any) -> datetime:
    """A date as ISO 8601 has it in Notion's documentation; a day begins in UTC. Raises InvalidRequest."""
    wrong = f"body failed validation: {path} should be a valid ISO 8601 date string, instead was `{text!r}`."
    if not isinstance(text, str) or not _ISO.fullmatch(text):
        raise InvalidRequest(wrong)
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidRequest(wrong) from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


_BARE_ID = re.compile(r"[0-9a-f]{32}")


def dashed(identity: str, path: str) -> str:
    """An id in Notion's canonical form; it accepts both. Raises InvalidRequest, naming where it stands, for no id."""
    bare = identity.replace("-", "").lower()
    if not _BARE_ID.fullmatch(bare):
        said = f'{path} should be a valid uuid, instead was `"{identity}"`.'
        raise InvalidRequest(f"{path.partition('.')[0]} failed validation: {said}")
    return "-".join((bare[:8], bare[8:12], bare[12:16], bare[16:20], bare[20:]))


def _checkbox(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise InvalidRequest(f"{name} is expected to be checkbox.")
    return value


def _relation(name: str, value: Any) -> list[dict[str, str]]:
    path = f"body.properties.{name}.relation"
    if len(typed(path, value, list)) > MAX_ITEMS:
        raise InvalidRequest(f"body failed validation: {path}.length should be ≤ `{MAX_ITEMS}`.")
    found = [typed(f"{path}.id", known(path, item, frozenset({"id"})).get("id"), str) for item in value]
    return [{"id": dashed(one, f"{path}.id")} for one in found]


_CHECKS = {
    "title": _title,
    "rich_text": _texts,
    "email": _email,
    "url": _url,
    "number": _number,
    "select": _select,
    "status": _select,
    "multi_select": _options,
    "phone_number": _phone,
    "date": _date,
    "checkbox": _checkbox,
    "relation": _relation,
}
EMPTY: dict[str, Any] = {
    "title": [],
    "rich_text": [],
    "relation": [],
    "multi_select": [],
    "checkbox": False,
}


def plain(kind: str, value: Any) -> Any:
    """What a filter or a sort compares: text joined, an option's name, a date's start."""
    if kind in {"title", "rich_text"}:
        return "".join(piece["plain_text"] for piece in value or [])
    if kind in {"select", "status"}:
        return value["name"] if value else None
    if kind == "multi_select":
        return [one["name"] for one in value or []]
    if kind == "date":
        return value["start"] if value else None
    if kind == "relation":
        return [item["id"] for item in value or []]
    return value
