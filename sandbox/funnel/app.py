"""The page and its server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

import httpx
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from sandbox.funnel.fields import GROUPS, complaints, payload

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request

PATH = "/en/flows/businessX/dfu/xmas-a01"
THANKS = f"{PATH}/thanks"
MAX_FORM = 64 * 1024
TIMEOUT_SECONDS = 15
LATER = "We could not take your answers just now. Nothing is lost: please send them again in a minute."
_PAGES = Environment(
    loader=FileSystemLoader(Path(__file__).parent), undefined=StrictUndefined, autoescape=True, trim_blocks=True
)


class Funnel:
    """The public page's part: asks, posts to the webhook, thanks or explains."""

    def __init__(self, webhook: str, secret: str) -> None:
        """`webhook`: the address of `christmas-signup`; `secret`: what its callers authenticate with."""
        self._webhook, self._secret = webhook, secret

    def app(self) -> Starlette:
        """The ASGI app."""
        routes = [Route(PATH, self.page), Route(PATH, self.submit, methods=["POST"]), Route(THANKS, self.thanks)]
        return Starlette(routes=[*routes, Route("/", lambda _: RedirectResponse(PATH))])

    async def page(self, _: Request) -> Response:
        """The empty form."""
        return _form({}, {}, 200)

    async def thanks(self, _: Request) -> Response:
        """Where the visitor is sent when the webhook has the answers: to load it again sends nothing."""
        return HTMLResponse(_PAGES.get_template("thanks.html.j2").render())

    async def submit(self, request: Request) -> Response:
        """Posts the answers; the visitor sees the page again, with what was typed, unless the webhook has them."""
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > MAX_FORM:
                return PlainTextResponse("too long", 413)
        form = dict(parse_qsl(body.decode(errors="replace"), keep_blank_values=True))
        try:
            async with httpx.AsyncClient(timeout=TIMEOUT_SECONDS, trust_env=False) as client:
                answer = await client.post(
                    self._webhook, json=payload(form), headers={"x-webhook-secret": self._secret}
                )
        except httpx.HTTPError:
            return _form(form, {"": LATER}, 503)
        if answer.status_code == httpx.codes.ACCEPTED:
            return RedirectResponse(THANKS, 303)
        if answer.status_code == httpx.codes.UNPROCESSABLE_ENTITY:
            return _form(form, complaints(_detail(answer)), 422)
        return _form(form, {"": LATER}, 503)


def _detail(answer: httpx.Response) -> object:
    try:
        found = answer.json()
    except json.JSONDecodeError:
        return None
    return found.get("detail") if isinstance(found, dict) else None


def _form(values: Mapping[str, str], errors: Mapping[str, str], status: int) -> Response:
    page = _PAGES.get_template("form.html.j2").render(groups=GROUPS, values=values, errors=errors, action=PATH)
    return HTMLResponse(page, status)
