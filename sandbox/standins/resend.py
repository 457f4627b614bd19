"""The Resend stand-in's HTTP face: the endpoints that resend 2.52 calls."""

from __future__ import annotations

import asyncio
import html
import json
from collections import deque
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from sandbox.standins.admin import admin_routes, not_modelled
from sandbox.standins.delivery import Delivery
from sandbox.standins.faults import FaultBook, Misbehave
from sandbox.standins.resend_payload import Refused, invalid
from sandbox.standins.resend_store import ResendStore, shown

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from starlette.requests import Request

_SENDING = ("POST", "/emails")
FULL_ACCESS, SENDING_ACCESS = "full_access", "sending_access"


def error(status: int, code: str, message: str, _: str | None = None) -> JSONResponse:
    """Resend's error body."""
    return JSONResponse({"statusCode": status, "name": code, "message": message}, status)


class Resend:
    """One team behind HTTP.

    `key` is its API key with full access, `scopes` has every key's scope; `per_second` is the team's limit, `handling`
    how many seconds a request to send takes.
    """

    def __init__(self, key: str, *, domain: str, per_second: int = 10) -> None:
        """A team with one verified sending domain."""
        self.key, self.per_second, self.handling = key, per_second, 0.0
        self.scopes = {key: FULL_ACCESS}
        self.store, self.book = ResendStore(domains={domain: "verified"}), FaultBook()
        self.delivery = Delivery(self.store)
        self._window: deque[float] = deque()

    def app(self) -> Starlette:
        """The ASGI application; its lifespan runs the delivery of mails and of webhooks."""
        routes = [
            Route("/", self._inbox),
            self._route("/emails", ["POST"], self._send),
            self._route("/emails", ["GET"], self._list, "limit", "after"),
            self._route("/emails/{id}", ["GET"], self._get),
            self._route("/domains", ["GET"], self._domains),
            *admin_routes(self.book, self.store.clock, self._settings, self._state),
        ]

        @asynccontextmanager
        async def lifespan(_: Starlette) -> AsyncIterator[None]:
            async with self.delivery.running():
                yield

        middleware = [Middleware(Misbehave, book=self.book, error=error)]
        handlers = not_modelled(error)
        return Starlette(routes=routes, middleware=middleware, lifespan=lifespan, exception_handlers=handlers)

    def _route(self, path: str, methods: list[str], handler: Callable[..., Any], *parameters: str) -> Route:
        async def endpoint(request: Request) -> Response:
            return await self._guarded(request, handler, parameters)

        return Route(path, endpoint, methods=methods, name=f"{methods[0]} {path}")

    async def _guarded(
        self, request: Request, handler: Callable[..., Awaitable[Any]], parameters: tuple[str, ...]
    ) -> Response:
        try:
            self._authorised(request)
            self._limited()
            for name in set(request.query_params) - set(parameters):
                raise invalid(f"`?{name}` is not modelled by the stand-in.")
            raw = await request.body()
            body = json.loads(raw) if raw else {}
            response = JSONResponse(await handler(request, body))
        except Refused as refusal:
            response = error(refusal.status, refusal.name, str(refusal))
            if refusal.status == 429:  # noqa: PLR2004
                response.headers["retry-after"] = "1"
        except ValueError:
            response = error(400, "validation_error", "Invalid JSON body.")
        response.headers["ratelimit-limit"] = str(self.per_second)
        response.headers["ratelimit-remaining"] = str(max(0, self.per_second - len(self._window)))
        response.headers["ratelimit-reset"] = "1"
        return response

    def _authorised(self, request: Request) -> None:
        given = request.headers.get("authorization", "")
        if not given.startswith("Bearer ") or given == "Bearer None":
            raise Refused(401, "missing_api_key", "Missing API Key")
        scope = self.scopes.get(given.removeprefix("Bearer "))
        if scope is None:
            raise Refused(403, "invalid_api_key", "API key is invalid")
        if scope == SENDING_ACCESS and (request.method, request.url.path) != _SENDING:
            raise Refused(401, "restricted_api_key", "This API key is restricted to only send emails")
        if not request.headers.get("user-agent"):
            raise Refused(403, "validation_error", "Missing User-Agent")

    def _limited(self) -> None:
        now = self.store.clock.now().timestamp()
        while self._window and self._window[0] <= now - 1:
            self._window.popleft()
        if len(self._window) >= self.per_second:
            message = f"Too many requests. You can only make {self.per_second} requests per second."
            raise Refused(429, "rate_limit_exceeded", message)
        self._window.append(now)

    async def _send(self, request: Request, body: Any) -> dict[str, Any]:
        """Take a mail, and only once under one idempotency key; a second request meanwhile is told so."""
        key = request.headers.get("idempotency-key")
        known = self.store.once(key, body)
        if known is not None:
            return dict(known)
        answer = None
        try:
            await asyncio.sleep(self.handling)
            answer = {"id": self.store.accept(body, key)["id"]}
        finally:
            self.store.settle(key, body, answer)
        return answer

    async def _get(self, request: Request, _: Any) -> dict[str, Any]:
        return shown(self.store.find(request.path_params["id"]))

    async def _list(self, request: Request, _: Any) -> dict[str, Any]:
        asked = request.query_params
        limit = asked.get("limit", "20")
        if not limit.isdecimal():
            raise invalid("`limit` must be a number.")
        part, more = self.store.listed(int(limit), asked.get("after"))
        data = [{k: v for k, v in shown(mail).items() if k not in {"html", "text", "object"}} for mail in part]
        return {"object": "list", "has_more": more, "data": data}

    async def _domains(self, _: Request, __: Any) -> dict[str, Any]:
        data = [
            {"id": name, "name": name, "status": status, "region": "eu-west-1"}
            for name, status in self.store.domains.items()
        ]
        return {"object": "list", "has_more": False, "data": data}

    async def _inbox(self, _: Request) -> HTMLResponse:
        rows = "".join(
            f"<tr><td>{mail['created']:%H:%M:%S}</td><td>{html.escape(', '.join(mail['to']))}</td>"
            f"<td>{html.escape(str(mail['payload']['subject']))}</td><td>{mail['last_event']}</td></tr>"
            for mail in reversed(self.store.mails)
        )
        head = "<tr><th>accepted</th><th>to</th><th>subject</th><th>last event</th></tr>"
        return HTMLResponse(f"<!doctype html><title>Inbox</title><table>{head}{rows}</table>")

    def _settings(self, wanted: dict[str, Any]) -> None:
        self.store.delivery = float(wanted.get("delivery", self.store.delivery))
        self.per_second = int(wanted.get("per_second", self.per_second))
        self.handling = float(wanted.get("handling", self.handling))
        self.scopes |= wanted.get("keys", {})
        self.store.domains |= wanted.get("domains", {})
        if "smtp" in wanted:
            self.delivery.relay(wanted["smtp"])
        if "webhook" in wanted:
            self.delivery.subscribe(wanted["webhook"]["url"], wanted["webhook"]["secret"])

    def _state(self) -> dict[str, Any]:
        mails = [{**shown(mail), "key": mail["key"], "tags": mail["payload"].get("tags")} for mail in self.store.mails]
        return {"mails": mails, "suppressed": self.store.suppressed}
