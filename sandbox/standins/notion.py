"""The Notion stand-in's HTTP face: the endpoints that notion-client 3.1 calls, at API version 2025-09-03."""

from __future__ import annotations

import json
from collections import deque
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import JSONResponse
from starlette.routing import Route

from sandbox.standins.admin import admin_routes, not_modelled
from sandbox.standins.faults import FaultBook, Misbehave
from sandbox.standins.notion_definitions import altered
from sandbox.standins.notion_store import NotFound, NotionStore, Source, property_id, sized
from sandbox.standins.notion_values import MAX_ITEMS, InvalidRequest, dashed, known, typed

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.requests import Request
    from starlette.responses import Response

MAX_BODY = 500_000
VERSION = "2025-09-03"
_OTHER_PARENTS = frozenset({"database_id", "page_id", "block_id", "workspace"})
_PAGED = ("start_cursor", "page_size")
_PARAMETERS = frozenset({"filter_properties", "include_transcript"})
_QUERY = frozenset({"filter", "sorts", "page_size", "start_cursor"})
_NOT_OF_A_SOURCE = frozenset({"title", "description", "icon", "in_trash", "archived", "parent"})
_NOT_OF_A_PAGE = frozenset({"children", "icon", "cover", "template", "position", "content", "markdown"})


def error(status: int, code: str, message: str, committed: str | None = None) -> JSONResponse:
    """Notion's error body; `committed` is the id of what was saved although the answer is an error."""
    body: dict[str, Any] = {
        "object": "error",
        "status": status,
        "code": code,
        "message": message,
        "request_id": str(uuid4()),
    }
    if committed:
        body["additional_data"] = {"committed_resource_id": committed}
    return JSONResponse(body, status)


def _no_number(text: str) -> None:
    """NaN and Infinity are Python's, not JSON's. Raises ValueError."""
    raise ValueError(text)


def _number(text: str) -> int | str:
    return int(text) if text.isdecimal() else text


class Notion:
    """One workspace behind HTTP; `token` is the only one accepted, `per_minute` the documented limit."""

    def __init__(self, token: str, *, per_minute: int = 180) -> None:
        """An empty workspace."""
        self.token, self.per_minute = token, per_minute
        self.store, self.book = NotionStore(), FaultBook()
        self._window: deque[float] = deque()

    def app(self) -> Starlette:
        """The ASGI application."""
        routes = [
            self._route("/v1/users/me", ["GET"], self._me),
            self._route("/v1/databases/{id}", ["GET"], self._database),
            self._route("/v1/data_sources/{id}", ["GET", "PATCH"], self._source),
            self._route("/v1/data_sources/{id}/query", ["POST"], self._query),
            self._route("/v1/pages", ["POST"], self._create_page),
            self._route("/v1/pages/{id}", ["GET", "PATCH"], self._page),
            self._route("/v1/pages/{id}/markdown", ["GET"], self._markdown),
            self._route("/v1/pages/{id}/properties/{property_id}", ["GET"], self._page_property, *_PAGED),
            *admin_routes(self.book, self.store.clock, self._settings, self._state),
        ]
        middleware = [Middleware(Misbehave, book=self.book, error=error)]
        return Starlette(routes=routes, middleware=middleware, exception_handlers=not_modelled(error))

    def _route(self, path: str, methods: list[str], handler: Callable[..., Any], *parameters: str) -> Route:
        async def endpoint(request: Request) -> Response:
            return await self._guarded(request, handler, parameters)

        return Route(path, endpoint, methods=methods, name=path)

    async def _guarded(
        self, request: Request, handler: Callable[..., Awaitable[Any]], parameters: tuple[str, ...]
    ) -> Response:
        refusal = self._refusal(request)
        if refusal is not None:
            return refusal
        raw = await request.body()
        if len(raw) > MAX_BODY:
            return error(413, "validation_error", "Request body is too large.")
        try:
            body = json.loads(raw, parse_constant=_no_number) if raw else {}
        except ValueError:
            return error(400, "invalid_json", "Error parsing JSON body.")
        try:
            typed("body", body, dict)
            known("query", dict(request.query_params), frozenset(parameters), _PARAMETERS - set(parameters))
            return JSONResponse({**await handler(request, body), "request_id": str(uuid4())})
        except InvalidRequest as problem:
            return error(400, "validation_error", str(problem))
        except NotFound as problem:
            return error(404, "object_not_found", f"{problem} Make sure the page is shared with your integration.")

    def _refusal(self, request: Request) -> Response | None:
        if request.headers.get("authorization") != f"Bearer {self.token}":
            return error(401, "unauthorized", "API token is invalid.")
        if request.headers.get("notion-version") != VERSION:
            return error(400, "missing_version", f"Notion-Version header should be `{VERSION}`.")
        now = self.store.clock.now().timestamp()
        while self._window and self._window[0] <= now - 60:
            self._window.popleft()
        if len(self._window) >= self.per_minute:
            response = error(429, "rate_limited", "You have been rate limited. Please try again in a few minutes.")
            response.headers["Retry-After"] = str(max(1, int(self._window[0] + 60 - now) + 1))
            return response
        self._window.append(now)
        return None

    async def _me(self, _: Request, __: Any) -> dict[str, Any]:
        return {"object": "user", "id": str(uuid4()), "type": "bot", "name": "hublab", "avatar_url": None, "bot": {}}

    async def _database(self, request: Request, _: Any) -> dict[str, Any]:
        return self._shown_database(self.store.database(request.path_params["id"]))

    @staticmethod
    def _shown_database(source: Source) -> dict[str, Any]:
        return {
            "object": "database",
            "id": source.database,
            "title": [{"type": "text", "plain_text": source.title}],
            "data_sources": [{"id": source.id, "name": source.title}],
        }

    async def _source(self, request: Request, body: dict[str, Any]) -> dict[str, Any]:
        source = self.store.source(request.path_params["id"])
        if request.method == "PATCH":
            known("body", body, frozenset({"properties"}), _NOT_OF_A_SOURCE)
            altered(self.store, source, typed("body.properties", body.get("properties", {}), dict))
        return {
            "object": "data_source",
            "id": source.id,
            "parent": {"type": "database_id", "database_id": source.database},
            "title": [{"type": "text", "plain_text": source.title}],
            "properties": {
                name: {
                    "id": property_id(name, kind),
                    "name": name,
                    "type": kind,
                    kind: source.schema[name].get(kind, {}),
                }
                for name, kind in source.kinds().items()
            },
        }

    async def _query(self, request: Request, body: dict[str, Any]) -> dict[str, Any]:
        known("body", body, _QUERY, frozenset({"in_trash", "archived", "result_type"}))
        return self.store.query(self.store.source(request.path_params["id"]), body)

    async def _create_page(self, _: Request, body: dict[str, Any]) -> dict[str, Any]:
        known("body", body, frozenset({"parent", "properties"}), _NOT_OF_A_PAGE)
        parent = known("body.parent", body.get("parent"), frozenset({"type", "data_source_id"}), _OTHER_PARENTS)
        if parent.get("type", "data_source_id") != "data_source_id":
            raise InvalidRequest("body failed validation: body.parent.type should be `data_source_id`.")
        given = typed(path := "body.parent.data_source_id", parent.get("data_source_id"), str)
        source = self.store.source(dashed(given, path))
        return self.store.shown(self.store.create_page(source, typed("body.properties", body.get("properties"), dict)))

    async def _page(self, request: Request, body: dict[str, Any]) -> dict[str, Any]:
        identity = request.path_params["id"]
        page = self.store.update_page(identity, body) if request.method == "PATCH" else self.store.page(identity)
        return self.store.shown(page)

    async def _markdown(self, request: Request, _: Any) -> dict[str, Any]:
        page = self.store.page(request.path_params["id"])
        return {
            "object": "page_markdown",
            "id": page["id"],
            "markdown": page["markdown"],
            "truncated": False,
            "unknown_block_ids": [],
        }

    async def _page_property(self, request: Request, _: Any) -> dict[str, Any]:
        shown = self.store.shown(self.store.page(request.path_params["id"]), MAX_ITEMS)
        wanted = request.path_params["property_id"]
        for found in shown["properties"].values():
            if found["id"] == wanted:
                return self._items(found, request)
        raise NotFound(f"Could not find property with name or id: {wanted}.")

    @staticmethod
    def _items(found: dict[str, Any], request: Request) -> dict[str, Any]:
        kind = found["type"]
        if kind == "rollup":
            raise InvalidRequest("A rollup's own pages are not modelled by the stand-in.")
        if kind not in {"title", "rich_text", "relation"}:
            return {"object": "property_item", **found}
        asked = dict(request.query_params)
        start, size = asked.get("start_cursor", "0"), sized(_number(asked.get("page_size", "100")))
        if not start.isdecimal():
            raise InvalidRequest(f"The start_cursor provided is invalid: {start}")
        end = int(start) + size
        more = end < len(found[kind])
        return {
            "object": "list",
            "results": [
                {"object": "property_item", "id": found["id"], "type": kind, kind: item}
                for item in found[kind][int(start) : end]
            ],
            "next_cursor": str(end) if more else None,
            "has_more": more,
            "type": "property_item",
            "property_item": {"id": found["id"], "next_url": None, "type": kind, kind: {}},
        }

    def _settings(self, wanted: dict[str, Any]) -> None:
        self.store.lag = float(wanted.get("lag", self.store.lag))
        self.store.most = int(wanted.get("most", self.store.most))
        self.per_minute = int(wanted.get("per_minute", self.per_minute))

    def _state(self) -> dict[str, Any]:
        titles = {source.id: source.title for source in self.store.sources.values()}
        tables: dict[str, list[Any]] = {title: [] for title in titles.values()}
        for page in self.store.pages.values():
            tables[titles[page["source"]]].append(self.store.shown(page))
        return {"databases": {s.title: s.database for s in self.store.sources.values()}, "pages": tables}
