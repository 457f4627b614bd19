"""The state of the Notion stand-in: databases, data sources, pages with their history."""

from __future__ import annotations

import copy
import hashlib
import threading
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from sandbox.standins.clock import Clock, iso
from sandbox.standins.notion_filters import matcher, sorter
from sandbox.standins.notion_values import EMPTY, InvalidRequest, dashed, known, plain, typed, written

MAX_PAGE_SIZE = 100
MAX_RESULTS = 10_000
MAX_SHOWN = 25  # of a relation's pages, where a page is shown: its property's own endpoint has the rest
_CHANGED = frozenset({"properties", "in_trash", "archived"})
_UNMODELLED = frozenset({"icon", "cover", "is_locked", "template", "erase_content"})


class NotFound(Exception):  # noqa: N818 - Notion's own word is object_not_found
    """A request that Notion would answer with 404 `object_not_found`."""


@dataclass
class Source:
    """One data source: the table of one database, `schema` property name → its definition."""

    id: str
    database: str
    title: str
    schema: dict[str, dict[str, Any]]

    def kinds(self) -> dict[str, str]:
        """Property name → type."""
        return {name: _kind(definition) for name, definition in self.schema.items()}

    def named(self, key: str) -> str:
        """The name of a property, which a request may give by its id as well; an unknown one as it is."""
        if key in self.schema:
            return key
        return next((name for name, kind in self.kinds().items() if property_id(name, kind) == key), key)

    def options(self, name: str) -> set[str] | None:
        """The options that a property has; None for one that has none by its kind."""
        kind = self.kinds().get(name)
        if kind not in {"select", "status", "multi_select"}:
            return None
        return {one["name"] for one in self.schema[name].setdefault(kind, {}).setdefault("options", [])}


def _kind(definition: dict[str, Any]) -> str:
    return str(definition.get("type") or next(key for key in definition if key not in {"id", "name"}))


@dataclass
class NotionStore:
    """Everything that the stand-in knows.

    `lag` is for how many seconds a query does not see a write, `most` how many rows it answers in all its pages.
    """

    clock: Clock = field(default_factory=Clock)
    lag: float = 0.0
    most: int = MAX_RESULTS
    sources: dict[str, Source] = field(default_factory=dict)
    pages: dict[str, dict[str, Any]] = field(default_factory=dict)
    history: dict[str, list[tuple[datetime, dict[str, Any]]]] = field(default_factory=dict)
    lock: threading.RLock = field(default_factory=threading.RLock)

    def create_database(self, title: str, schema: dict[str, dict[str, Any]]) -> Source:
        """A database with one data source."""
        source = Source(str(uuid4()), str(uuid4()), title, copy.deepcopy(schema))
        self.sources[source.id] = source
        return source

    def database(self, database_id: str) -> Source:
        """The data source of a database. Raises NotFound, InvalidRequest."""
        wanted = dashed(database_id, "path.database_id")
        for source in self.sources.values():
            if source.database == wanted:
                return source
        raise NotFound(f"Could not find database with ID: {wanted}.")

    def source(self, source_id: str) -> Source:
        """A data source. Raises NotFound, InvalidRequest."""
        wanted = dashed(source_id, "path.data_source_id")
        try:
            return self.sources[wanted]
        except KeyError:
            raise NotFound(f"Could not find data_source with ID: {wanted}.") from None

    def page(self, page_id: str) -> dict[str, Any]:
        """A page as stored. Raises NotFound, InvalidRequest."""
        wanted = dashed(page_id, "path.page_id")
        try:
            return self.pages[wanted]
        except KeyError:
            raise NotFound(f"Could not find page with ID: {wanted}.") from None

    def create_page(self, source: Source, properties: dict[str, Any]) -> dict[str, Any]:
        """A new row. Raises InvalidRequest."""
        with self.lock:
            now = self.clock.now()
            page: dict[str, Any] = {
                "id": str(uuid4()),
                "source": source.id,
                "created_time": iso(now, minutes=True),
                "last_edited_time": iso(now, minutes=True),
                "order": len(self.pages),
                "in_trash": False,
                "markdown": "",
                "values": self._values(source, properties),
            }
            self.pages[page["id"]] = page
            self._remember(page, now)
            return page

    def update_page(self, page_id: str, body: dict[str, Any]) -> dict[str, Any]:
        """Change a row's properties, or put it in the trash. Raises InvalidRequest, NotFound."""
        with self.lock:
            page = self.page(page_id)
            known("body", body, _CHANGED, _UNMODELLED)
            trash = None
            for name in {"archived", "in_trash"} & set(body):
                trash = typed(f"body.{name}", body[name], bool)
            if page["in_trash"] and trash is not False:
                raise InvalidRequest("Can't edit block that is archived. You must unarchive the block before editing.")
            properties = typed("body.properties", body.get("properties", {}), dict)
            page["values"] |= self._values(self.sources[page["source"]], properties)
            if trash is not None:
                page["in_trash"] = bool(trash)
            now = self.clock.now()
            page["last_edited_time"] = iso(now, minutes=True)
            self._remember(page, now)
            return page

    def _remember(self, page: dict[str, Any], now: datetime) -> None:
        self.history.setdefault(page["id"], []).append((now, copy.deepcopy(page)))

    def _values(self, source: Source, properties: dict[str, Any]) -> dict[str, Any]:
        kinds, values = source.kinds(), {}
        for key, value in properties.items():
            name = source.named(key)
            if name not in kinds:
                raise InvalidRequest(f"{name} is not a property that exists.")
            if name in values:
                raise InvalidRequest(f"{name} is there by its name and by its id.")
            values[name] = written(name, kinds[name], value)
            self._chosen(source, name, kinds[name], values[name])
            if kinds[name] == "relation":
                self._related(source.schema[name], values[name])
        return values

    @staticmethod
    def _chosen(source: Source, name: str, kind: str, value: Any) -> None:
        """A new option of a select is added by who writes it; a status has those that a person gave it."""
        if (known := source.options(name)) is None:
            return
        for option in plain("multi_select", value if kind == "multi_select" else [value] if value else []):
            if option not in known and kind == "status":
                raise InvalidRequest(f'Invalid status option. Status option "{option}" does not exist.')
            if option not in known:
                source.schema[name][kind]["options"].append({"name": option})

    def _related(self, definition: dict[str, Any], items: list[dict[str, str]]) -> None:
        """Whether what a relation names is there, in the data source that it leads to. Raises NotFound."""
        target = (definition.get("relation") or {}).get("data_source_id")
        for item in items:
            if target not in {None, self.page(item["id"])["source"]}:
                raise NotFound(f"Could not find page with ID: {item['id']}.")

    def visible(self, source: Source) -> list[dict[str, Any]]:
        """The rows as a query sees them: as they were `lag` seconds ago."""
        with self.lock:
            horizon = self.clock.now() - timedelta(seconds=self.lag)
            seen = []
            for page_id, versions in self.history.items():
                if self.pages[page_id]["source"] != source.id:
                    continue
                old = [page for when, page in versions if when <= horizon]
                if old and not old[-1]["in_trash"]:
                    seen.append(old[-1])
            return seen

    def query(self, source: Source, body: dict[str, Any]) -> dict[str, Any]:
        """One page of results. Raises InvalidRequest."""
        size = sized(body.get("page_size", MAX_PAGE_SIZE))
        kinds = source.kinds()
        condition = typed("body.filter", body["filter"], dict) if "filter" in body else None
        matches = matcher(named(source, condition), kinds)
        sorts = typed("body.sorts", body.get("sorts", []), list)
        rows = sorter(sorts, kinds)([page for page in self.visible(source) if matches(page)])
        start = self._start(rows, body["start_cursor"]) if "start_cursor" in body else 0
        capped = rows[: self.most]
        part = capped[start : start + size]
        more = start + size < len(capped)
        answer: dict[str, Any] = {
            "object": "list",
            "results": [self.shown(page) for page in part],
            "next_cursor": capped[start + size]["id"] if more else None,
            "has_more": more,
            "type": "page_or_data_source",
            "page_or_data_source": {},
        }
        if len(rows) > self.most:
            answer["request_status"] = {"type": "incomplete", "incomplete_reason": "query_result_limit_reached"}
        return answer

    @staticmethod
    def _start(rows: list[dict[str, Any]], cursor: Any) -> int:
        for index, page in enumerate(rows):
            if page["id"] == cursor:
                return index
        raise InvalidRequest(f"The start_cursor provided is invalid: {cursor}")

    def shown(self, page: dict[str, Any], most: int = MAX_SHOWN) -> dict[str, Any]:
        """A page as Notion answers it, with so many of a relation's pages at the most."""
        source = self.sources[page["source"]]
        return {
            "object": "page",
            "id": page["id"],
            "created_time": page["created_time"],
            "last_edited_time": page["last_edited_time"],
            "archived": page["in_trash"],
            "in_trash": page["in_trash"],
            "parent": {"type": "data_source_id", "data_source_id": source.id, "database_id": source.database},
            "properties": {name: self._property(page, name, kind, most) for name, kind in source.kinds().items()},
            "url": f"https://www.notion.so/{page['id'].replace('-', '')}",
        }

    def _property(self, page: dict[str, Any], name: str, kind: str, most: int) -> dict[str, Any]:
        source = self.sources[page["source"]]
        value = (
            self._rollup(source, page, name, most) if kind == "rollup" else page["values"].get(name, EMPTY.get(kind))
        )
        shown: dict[str, Any] = {"id": property_id(name, kind), "type": kind, kind: value}
        if kind == "relation":
            shown |= {kind: list(value)[:most], "has_more": len(value) > most}
        return shown

    def _rollup(self, source: Source, page: dict[str, Any], name: str, most: int) -> dict[str, Any]:
        recipe, found = source.schema[name]["rollup"], []
        for identity in plain("relation", page["values"].get(recipe["relation_property_name"])):
            other = self.pages.get(identity)
            if other:
                kind = self.sources[other["source"]].kinds()[recipe["rollup_property_name"]]
                found.append({"type": kind, kind: other["values"].get(recipe["rollup_property_name"])})
        return {"type": "array", "array": found[:most], "function": recipe.get("function", "show_original")}


def sized(size: Any) -> int:
    """How many a page of results has. Raises InvalidRequest."""
    if isinstance(size, bool) or not isinstance(size, int) or not 1 <= size <= MAX_PAGE_SIZE:
        raise InvalidRequest(f"body failed validation: page_size should be ≤ `{MAX_PAGE_SIZE}`, instead was `{size}`.")
    return size


def named(source: Source, condition: Any) -> Any:
    """A filter with properties by their names, where it has some by their ids.

    Raises:
        InvalidRequest: an option that the property does not have.
    """
    if not isinstance(condition, dict):
        return condition
    for joint in ("and", "or"):
        if isinstance(condition.get(joint), list):
            return condition | {joint: [named(source, part) for part in condition[joint]]}
    if "property" not in condition:
        return condition
    name = source.named(str(condition["property"]))
    known, kind = source.options(name), source.kinds().get(name, "")
    asked = condition.get(kind)
    for option in asked.values() if isinstance(asked, dict) else ():
        if known is not None and isinstance(option, str) and option not in known:
            raise InvalidRequest(f'{kind} option "{option}" not found for property "{name}".')
    return condition | {"property": name}


def property_id(name: str, kind: str) -> str:
    """The short id that Notion gives to a property, each its own; here derived from its name."""
    return "title" if kind == "title" else hashlib.sha256(name.encode()).hexdigest()[:8]
