"""Filters and sorts that filter and sort. Follows developers.notion.com/reference/filter-data-source-entries."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sandbox.standins.notion_values import MAX_ITEMS, InvalidRequest, dashed, instant, known, plain

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_DEPTH = 2
STAMPS = ("created_time", "last_edited_time")
Page = dict[str, Any]
Test = Callable[[Any, Any], bool]


def _empty(found: Any, _: Any) -> bool:
    return found is None or found in ("", [])


def _instant(text: str) -> datetime:
    instant = datetime.fromisoformat(text)
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)


def _dated(test: Callable[[datetime, datetime], bool]) -> Test:
    return lambda found, wanted: found is not None and test(_instant(found), _instant(wanted))


_PRESENCE: dict[str, Test] = {"is_empty": _empty, "is_not_empty": lambda found, _: not _empty(found, _)}
_TEXT: dict[str, Test] = {
    "equals": lambda found, wanted: (found or "").lower() == wanted.lower(),
    "does_not_equal": lambda found, wanted: (found or "").lower() != wanted.lower(),
    "contains": lambda found, wanted: wanted.lower() in (found or "").lower(),
    "does_not_contain": lambda found, wanted: wanted.lower() not in (found or "").lower(),
    "starts_with": lambda found, wanted: (found or "").lower().startswith(wanted.lower()),
    "ends_with": lambda found, wanted: (found or "").lower().endswith(wanted.lower()),
    **_PRESENCE,
}
_NUMBER: dict[str, Test] = {
    "equals": lambda found, wanted: found == wanted,
    "does_not_equal": lambda found, wanted: found != wanted,
    "greater_than": lambda found, wanted: found is not None and found > wanted,
    "less_than": lambda found, wanted: found is not None and found < wanted,
    "greater_than_or_equal_to": lambda found, wanted: found is not None and found >= wanted,
    "less_than_or_equal_to": lambda found, wanted: found is not None and found <= wanted,
    **_PRESENCE,
}
_DATE: dict[str, Test] = {
    "equals": _dated(lambda found, wanted: found == wanted),
    "before": _dated(lambda found, wanted: found < wanted),
    "after": _dated(lambda found, wanted: found > wanted),
    "on_or_before": _dated(lambda found, wanted: found <= wanted),
    "on_or_after": _dated(lambda found, wanted: found >= wanted),
    **_PRESENCE,
}
_EXACT: dict[str, Test] = {
    "equals": lambda found, wanted: found == wanted,
    "does_not_equal": lambda found, wanted: found != wanted,
}
_MANY: dict[str, Test] = {
    "contains": lambda found, wanted: wanted in (found or []),
    "does_not_contain": lambda found, wanted: wanted not in (found or []),
    **_PRESENCE,
}
_RELATED: dict[str, Test] = dict(_MANY)
_TICKED: dict[str, Test] = dict(_EXACT)
_KINDS: tuple[tuple[dict[str, Test], tuple[type, ...]], ...] = ((_NUMBER, (int, float)), (_TICKED, (bool,)))
TESTS: dict[str, dict[str, Test]] = {
    **dict.fromkeys(("title", "rich_text", "email", "url", "phone_number"), _TEXT),
    "number": _NUMBER,
    "date": _DATE,
    "select": {**_EXACT, **_PRESENCE},
    "status": {**_EXACT, **_PRESENCE},
    "multi_select": _MANY,
    "checkbox": _TICKED,
    "relation": _RELATED,
}


def matcher(condition: Any, schema: Mapping[str, str], depth: int = 0) -> Callable[[Page], bool]:
    """A predicate over stored pages for one filter object; `schema` maps property names to types.

    Raises:
        InvalidRequest: unknown property, a type that is not the property's, an unknown condition, too deep.
    """
    if condition is None:
        return lambda _: True
    if not isinstance(condition, dict):
        raise InvalidRequest("body failed validation: body.filter should be an object.")
    for joint, join in (("and", all), ("or", any)):
        if joint in condition:
            if not isinstance(condition[joint], list) or len(condition[joint]) > MAX_ITEMS:
                raise InvalidRequest(f"body failed validation: body.filter.{joint} should be an array of at most 100.")
            if depth >= MAX_DEPTH or len(condition) > 1:
                raise InvalidRequest("body failed validation: body.filter is nested too deep.")
            parts = [matcher(part, schema, depth + 1) for part in condition[joint]]
            return lambda page, parts=parts, join=join: join(part(page) for part in parts)  # type: ignore[misc]
    if "timestamp" in condition:
        stamp = condition["timestamp"]
        if stamp not in STAMPS or set(condition) != {"timestamp", stamp}:
            raise InvalidRequest(
                "body failed validation: body.filter.timestamp should be created_time or last_edited_time."
            )
        wanted_stamp = _single(condition[stamp], _DATE, stamp)
        return lambda page: wanted_stamp(page[stamp])
    return _property(condition, schema)


def _property(condition: dict[str, Any], schema: Mapping[str, str]) -> Callable[[Page], bool]:
    name = str(condition.get("property"))
    if name not in schema:
        raise InvalidRequest(f"Could not find property with name or id: {name}")
    kind = schema[name]
    keys = set(condition) - {"property", "type"}
    if keys != {kind}:
        asked = ", ".join(sorted(keys)) or "nothing"
        raise InvalidRequest(f"database property {kind} does not match filter {asked}")
    if kind not in TESTS:
        raise InvalidRequest(f"The stand-in does not filter on {kind}.")
    test = _single(condition[kind], TESTS[kind], name)
    return lambda page: test(plain(kind, page["values"].get(name)))


def _single(condition: Any, tests: Mapping[str, Test], name: str) -> Callable[[Any], bool]:
    if not isinstance(condition, dict) or len(condition) != 1 or not set(condition) <= set(tests):
        raise InvalidRequest(f"body failed validation: body.filter.{name} should be one of {', '.join(sorted(tests))}.")
    ((operator, given),) = condition.items()
    wanted = _checked(tests, operator, given, f"body.filter.{name}.{operator}")
    return lambda found: tests[operator](found, wanted)


def _checked(tests: Mapping[str, Test], operator: str, wanted: Any, path: str) -> Any:
    """What a condition compares with, which is of its property's type. Raises InvalidRequest."""
    if operator in _PRESENCE:
        if wanted is not True:
            raise InvalidRequest(f"body failed validation: {path} should be `true`, instead was `{wanted!r}`.")
        return wanted
    if tests is _DATE:
        instant(path, wanted)
        return wanted
    kinds = next((kinds for which, kinds in _KINDS if which is tests), (str,))
    if not isinstance(wanted, kinds) or (isinstance(wanted, bool) and bool not in kinds):
        raise InvalidRequest(
            f"body failed validation: {path} should be a {kinds[0].__name__}, instead was `{wanted!r}`."
        )
    return dashed(str(wanted), path) if tests is _RELATED else wanted


def sorter(sorts: Any, schema: Mapping[str, str]) -> Callable[[list[Page]], list[Page]]:
    """A function that orders stored pages; without sorts, the newest first as Notion happens to answer.

    Raises:
        InvalidRequest: unknown property or direction.
    """
    keys: list[tuple[Callable[[Page], Any], bool]] = []
    for sort in sorts:
        known("body.sorts", sort, frozenset({"property", "timestamp", "direction"}))
        if sort.get("direction") not in {"ascending", "descending"}:
            raise InvalidRequest("body failed validation: body.sorts[0].direction should be defined.")
        keys.append((_key(sort, schema), sort["direction"] == "descending"))

    def ordered(pages: list[Page]) -> list[Page]:
        result = sorted(pages, key=lambda page: page["order"], reverse=True)
        for key, backwards in reversed(keys):
            filled = sorted((p for p in result if key(p) is not None), key=key, reverse=backwards)
            result = filled + [p for p in result if key(p) is None]  # empty values come last, whichever way
        return result

    return ordered


def _key(sort: dict[str, Any], schema: Mapping[str, str]) -> Callable[[Page], Any]:
    if "timestamp" in sort:
        stamp = sort["timestamp"]
        if stamp not in STAMPS or "property" in sort:
            raise InvalidRequest(f"body failed validation: body.sorts.timestamp should be one of {', '.join(STAMPS)}.")
        return lambda page: page[stamp]
    name = str(sort.get("property"))
    if name not in schema:
        raise InvalidRequest(f"Could not find sort property with name or id: {name}")
    return lambda page: plain(schema[name], page["values"].get(name))
