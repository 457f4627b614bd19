"""The server side of Turnstile and hCaptcha: a token is solved once, for one page, and checked once."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

PATHS = ("/turnstile/v0/siteverify", "/siteverify")


class Challenge:
    """One site; `secret` is the only one accepted. Set `away` to have it answer 503 and nothing else."""

    def __init__(self, secret: str) -> None:
        """Nobody has solved anything yet."""
        self.secret, self.away = secret, False
        self.asked: list[dict[str, str]] = []
        self._solved: dict[str, str] = {}

    def solve(self, hostname: str) -> str:
        """What a visitor's browser gets when it has solved the challenge on a page of that host."""
        token = secrets.token_urlsafe(300)
        self._solved[token] = hostname
        return token

    def app(self) -> Starlette:
        """The ASGI app, at the paths of both makers."""
        return Starlette(routes=[Route(path, self._verify, methods=["POST"]) for path in PATHS])

    async def _verify(self, request: Request) -> Response:
        if self.away:
            return JSONResponse({}, 503)
        if request.headers.get("content-type") != "application/x-www-form-urlencoded":
            return self._no("bad-request")
        form = {name: values[0] for name, values in parse_qs((await request.body()).decode()).items()}
        self.asked.append(form)
        for name in ("secret", "response"):
            if name not in form:
                return self._no(f"missing-input-{name}")
        hostname = self._solved.get(form["response"])
        if form["secret"] != self.secret or not hostname:
            known = "timeout-or-duplicate" if hostname == "" else "invalid-input-response"
            return self._no(known if form["secret"] == self.secret else "invalid-input-secret")
        self._solved[form["response"]] = ""
        more: dict[str, Any] = {"challenge_ts": datetime.now(UTC).isoformat(), "hostname": hostname}
        return JSONResponse({"success": True, "error-codes": [], **more})

    @staticmethod
    def _no(code: str) -> Response:
        return JSONResponse({"success": False, "error-codes": [code]})
