"""The one client of Notion: limited, retried only where that is safe, typed errors, no token in any of them.

It is called with the flows' names of properties; the mapping makes of them what they are called in the workspace.
"""

from __future__ import annotations

import json
import logging
import os
import re
import time
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import certifi
import httpx
from notion_client import Client
from notion_client.errors import HTTPResponseError, RequestTimeoutError

from flows.services import notion_schema as schema
from flows.services.errors import (
    NotionError,
    NotionMissingError,
    NotionNoOptionError,
    NotionTooManyError,
    NotionUnavailableError,
)
from flows.services.notion_mapping import NotionMapping
from flows.services.notion_trouble import Trouble
from flows.services.settings import environment_name
from flows.services.words import counted

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Mapping

    from flows.services.settings import Settings

PAGE_SIZE = 100
LIMIT = 10_000  # pages that Notion answers to one query; it says so where there are more
TIMEOUT_MS = 60_000
INLINE_PIECES = 25  # a page shows this many references of a property for certain; more are asked for one by one
BACKOFF_FIRST, BACKOFF_MOST = 0.5, 15.0
_ID = re.compile("[0-9a-fA-F]{32}")


def trust() -> ssl.SSLContext:
    """Whom a client of Notion trusts: the file of authorities as it is now, read once."""
    file = os.environ.get("SSL_CERT_FILE") or certifi.where()
    return _context(file, Path(file).stat().st_mtime_ns)


@cache
def _context(_file: str, _changed: int) -> ssl.SSLContext:
    return httpx.create_ssl_context()


class NotionGateway:
    """Calls on the five databases. `limiter` waits for the shared limit; `calls` counts what was sent."""

    def __init__(
        self,
        settings: Settings,
        limiter: Callable[[], None],
        sources: Mapping[str, str] | None = None,
        mapping: NotionMapping | None = None,
    ) -> None:
        """`sources` are data source ids already known, by database id; `mapping`, where the properties are.

        Raises:
            MissingSettingError: no token.
        """
        logger = logging.getLogger("flows.notion_client")  # the SDK's own would gain a handler with each client
        logger.propagate = False
        self._client = Client(
            client=httpx.Client(verify=trust()),
            auth=settings.get("notion-token"),
            base_url=settings.get("HUBLAB_NOTION_URL"),
            timeout_ms=TIMEOUT_MS,
            retry=False,
            logger=logger,
            log_level=logging.CRITICAL,
        )
        self._settings, self._limiter = settings, limiter
        self._patience = settings.number("HUBLAB_RETRY_SECONDS")
        self._lag = settings.number("HUBLAB_NOTION_LAG_SECONDS")
        self.sources = dict(sources or {})
        self.mapping = mapping or NotionMapping()
        self.calls = 0

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def page(self, block: str, page_id: str) -> dict[str, Any]:
        """A page of a database as it is now. Raises NotionError."""
        found = self._safe(f"read page {page_id}", lambda: self._client.pages.retrieve(page_id))
        return self.mapping.shown(block, found)

    def markdown(self, page_id: str) -> str:
        """A page's content. Raises NotionError, also when Notion cuts it off or leaves something out."""
        found = self._safe(f"read content of {page_id}", lambda: self._client.pages.retrieve_markdown(page_id))
        if found.get("truncated"):
            raise NotionError(f"the content of page {page_id} is too long: Notion cut it off; shorten it")
        if left_out := found.get("unknown_block_ids"):
            blocks = counted(len(left_out), "block", "blocks")
            raise NotionError(
                f"the content of page {page_id} has {blocks} that Notion does not show its integration; "
                "share all of the page with it, or take out what it may not see"
            )
        return str(found["markdown"])

    def database(self, block: str) -> dict[str, Any]:
        """A database's data source, with its properties as they are defined there. Raises NotionError."""
        what = f"read {schema.TITLES[block]}"
        read = self._client.data_sources.retrieve
        found = self._sourced(block, lambda source: self._safe(what, lambda: read(source)))
        return cast("dict[str, Any]", found)

    def alter(self, block: str, properties: dict[str, Any]) -> None:
        """Add properties, under their names there, to a database. Raises NotionError."""
        source = self.source(block)
        what = f"add properties to {schema.TITLES[block]}"
        self._safe(what, lambda: self._client.data_sources.update(source, properties=properties))

    def source(self, block: str) -> str:
        """The data source id of a database, looked up once. Raises NotionError, MissingSettingError."""
        database = self._settings.get(block)
        if database not in self.sources:
            if not _ID.fullmatch(database.replace("-", "")):  # unsaid: it may be a token in the wrong place
                raise NotionError(
                    f"{environment_name(block)}: not an id; write the 32 digits (0-9, a-f) that the address of the "
                    f"database {schema.TITLES[block]!r} has before its ?v=, then `./hublab campaign secrets`"
                )
            what = f"read database {schema.TITLES[block]}"
            found = self._safe(what, lambda: self._client.databases.retrieve(database))
            if len(found.get("data_sources", [])) != 1:
                raise NotionError(f"{what}: it has {len(found.get('data_sources', []))} data sources, not one")
            self.sources[database] = str(found["data_sources"][0]["id"])
        return self.sources[database]

    def _sourced(self, block: str, work: Callable[[str], Any]) -> Any:
        """Do work on a data source; one that was learnt by an earlier run and is gone is looked up again."""
        database = self._settings.get(block)
        known = database in self.sources
        try:
            return work(self.source(block))
        except NotionMissingError:
            if not known:
                raise
            del self.sources[database]
            return work(self.source(block))

    def find(self, block: str, condition: dict[str, Any]) -> list[dict[str, Any]]:
        """All pages that meet a filter, the oldest first, however many.

        Where one answer ends at Notion's limit, another begins with the minute in which its last page was created.

        Raises:
            NotionError: a call failed.
            NotionTooManyError: more than Notion answers were created within one minute.
        """
        found, asked, since = dict[str, dict[str, Any]](), condition, ""
        while True:
            pages, more = self.some(block, asked, LIMIT)
            found |= {page["id"]: page for page in pages}
            if not more:
                return list(found.values())
            if pages[-1]["created_time"] == since:
                raise NotionTooManyError(schema.TITLES[block])
            since = pages[-1]["created_time"]
            asked = _narrowed(condition, {"timestamp": "created_time", "created_time": {"on_or_after": since}})

    def some(self, block: str, condition: dict[str, Any], most: int | None = None) -> tuple[list[dict[str, Any]], bool]:
        """The oldest pages that meet a filter, about so many at the most, and whether there are more; None: all.

        Raises:
            NotionError: a call failed.
            NotionTooManyError: `most` is None, and more match than Notion answers.
        """
        wanted = self.mapping.condition(block, condition)
        try:
            pages, more = self._sourced(block, lambda source: self._query(source, block, wanted, most))
        except NotionNoOptionError:
            if "or" in condition:
                raise
            return [], False  # what nobody has ever chosen is no option yet
        return [self.mapping.shown(block, page) for page in pages], more

    def newest(self, block: str) -> list[dict[str, Any]]:
        """The page that was edited last, if there is one. Raises NotionError."""
        sorts = [{"timestamp": "last_edited_time", "direction": "descending"}]
        what, query = f"query {schema.TITLES[block]}", self._client.data_sources.query
        answer = self._sourced(block, lambda source: self._safe(what, lambda: query(source, sorts=sorts, page_size=1)))
        return [self.mapping.shown(block, page) for page in answer["results"]]

    def _query(
        self, source: str, block: str, condition: dict[str, Any], most: int | None
    ) -> tuple[list[dict[str, Any]], bool]:
        pages, cursor = list[dict[str, Any]](), None
        while True:
            more: dict[str, Any] = {"start_cursor": cursor} if cursor else {}
            answer = self._safe(
                f"query {schema.TITLES[block]}",
                lambda more=more: self._client.data_sources.query(  # type: ignore[misc]
                    source,
                    filter=condition,
                    sorts=[{"timestamp": "created_time", "direction": "ascending"}],
                    page_size=PAGE_SIZE,
                    **more,
                ),
            )
            cursor = answer.get("next_cursor")
            cut = (answer.get("request_status") or {}).get("type") == "incomplete"
            cut = cut or (bool(answer.get("has_more")) and not cursor)
            if cut and most is None:
                raise NotionTooManyError(schema.TITLES[block])
            pages += answer["results"]
            if not cursor or (most is not None and len(pages) >= most):
                return pages, bool(cursor) or cut

    def equals(self, block: str, **wanted: str) -> list[dict[str, Any]]:
        """All pages whose properties (underscores for spaces) have these values. Raises as `find`."""
        parts = []
        for raw, value in wanted.items():
            name = raw.replace("_", " ")
            parts.append({"property": name, schema.kind(block, name): {"equals": value}})
        return self.find(block, {"and": parts})

    def text(self, page: dict[str, Any], name: str) -> str:
        """A text property, whole: one with many pieces is read piece by piece. Raises NotionError."""
        found = page["properties"].get(name) or {"type": "rich_text", "rich_text": []}
        if len(found[found["type"]]) < INLINE_PIECES:
            return str(schema.read(page, name) or "")
        parts, cursor = list[str](), None
        while True:
            more: dict[str, Any] = {"start_cursor": cursor} if cursor else {}
            answer = self._safe(
                f"read {name}",
                lambda more=more: self._client.pages.properties.retrieve(  # type: ignore[misc]
                    page["id"], found["id"], page_size=PAGE_SIZE, **more
                ),
            )
            parts += [item[item["type"]]["plain_text"] for item in answer["results"]]
            cursor = answer.get("next_cursor")
            if answer.get("has_more") and not cursor:
                raise NotionError(f"read {name}: Notion says that there is more, and not where; run this again")
            if not cursor:
                return "".join(parts)

    def update(self, block: str, page_id: str, values: Mapping[str, Any]) -> dict[str, Any]:
        """Write properties of a page; writing them twice is the same. Raises NotionError."""
        properties = self.mapping.written(block, values)
        what = f"write page {page_id} of {schema.TITLES[block]}"
        found = self._safe(what, lambda: self._client.pages.update(page_id, properties=properties))
        return self.mapping.shown(block, found)

    def trash(self, page_id: str) -> None:
        """Move a page to the trash; one that is there already is as good. Raises NotionError."""
        self._safe(f"trash page {page_id}", lambda: self._client.pages.update(page_id, in_trash=True))

    def create_once(
        self, block: str, values: Mapping[str, Any], find: Callable[[], list[dict[str, Any]]]
    ) -> dict[str, Any]:
        """Create a page, without a second one when the first was saved and the answer was lost.

        `find` looks for what was saved; it is asked only after an attempt whose outcome is not known, and only once
        Notion's queries must show it. Raises NotionError.
        """
        properties = self.mapping.written(block, values)
        page = self._sourced(block, lambda source: self._create(block, source, properties, find))
        return cast("dict[str, Any]", page)

    def _create(
        self, block: str, source: str, properties: dict[str, Any], find: Callable[[], list[dict[str, Any]]]
    ) -> dict[str, Any]:
        what = f"create a page in {schema.TITLES[block]}"
        parent = {"type": "data_source_id", "data_source_id": source}
        deadline, pause = time.monotonic() + self._patience, BACKOFF_FIRST
        while True:
            trouble = self._attempt(lambda: self._client.pages.create(parent=parent, properties=properties))
            if not isinstance(trouble, Trouble):
                return self.mapping.shown(block, trouble)
            if trouble.committed:
                return self.page(block, trouble.committed)
            if not trouble.transient:
                raise trouble.final(what) from None
            if not trouble.unsaved:
                time.sleep(self._lag)
                found = find()
                if found:
                    return found[0]
            pause = self._wait(what, trouble, deadline, pause)

    def _safe(self, what: str, call: Callable[[], Any]) -> dict[str, Any]:
        """A call that may be repeated: a read, or a write that says the same thing twice."""
        deadline, pause = time.monotonic() + self._patience, BACKOFF_FIRST
        while True:
            result = self._attempt(call)
            if not isinstance(result, Trouble):
                return dict(result)
            if not result.transient:
                raise result.final(what) from None
            pause = self._wait(what, result, deadline, pause)

    def _attempt(self, call: Callable[[], Any]) -> Any:
        self._limiter()
        self.calls += 1
        try:
            return call()
        except (HTTPResponseError, RequestTimeoutError, httpx.RequestError, json.JSONDecodeError) as error:
            return Trouble(error)

    @staticmethod
    def _wait(what: str, trouble: Trouble, deadline: float, pause: float) -> float:
        wait = max(pause, trouble.retry_after or 0)
        if time.monotonic() + wait > deadline:
            raise NotionUnavailableError(f"{what}: {trouble}; given up for now") from None
        time.sleep(wait)
        return min(pause * 2, BACKOFF_MOST)


def _narrowed(condition: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    """A filter that asks for one thing more, and is nested no deeper than Notion allows."""
    if "or" in condition:
        return {"or": [_narrowed(one, more) for one in condition["or"]]}
    return {"and": [*condition.get("and", [condition]), more]}
