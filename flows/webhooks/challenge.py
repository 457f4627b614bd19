"""Signup straight from a browser: which origins may, and the challenge that its visitor has solved, asked of its maker.

Turnstile and hCaptcha speak the same protocol: a POST of `secret`, `response` and `remoteip` answers `success`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx
from starlette.middleware.cors import CORSMiddleware

from flows.services.settings import BadSettingError
from flows.webhooks.bodies import Refusal

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from starlette.types import ASGIApp, Receive, Scope, Send

    from flows.services.settings import Settings

MAKERS = {
    "turnstile": ("cf-turnstile-response", "https://challenges.cloudflare.com/turnstile/v0/siteverify"),
    "hcaptcha": ("h-captcha-response", "https://api.hcaptcha.com/siteverify"),
}
SECONDS = 10
LONGEST_ANSWER = 2048  # Turnstile's own bound of a token; hCaptcha's are longer than their documents say
_ORIGIN = re.compile(r"https?://[a-z0-9.-]+(:\d{1,5})?")


@dataclass(frozen=True)
class Challenge:
    """Who is asked (`url`), with which `secret`; `field` of the body has the visitor's answer."""

    origins: tuple[str, ...]
    field: str
    url: str
    secret: str

    def asked(self, headers: Mapping[str, str]) -> bool:
        """Whether a call comes from a page of these origins and brings nothing else that would open the route."""
        proofs = ("x-webhook-secret", "x-webhook-signature", "calendly-webhook-signature", "x-cal-signature-256")
        return headers.get("origin") in self.origins and not any(name in headers for name in proofs)

    async def solved(self, body: Mapping[str, Any], address: str) -> None:
        """Make sure that the visitor has solved it.

        Raises:
            Refusal: 403 when not; 503 when its maker cannot be asked.
        """
        given = body.get(self.field)
        if not isinstance(given, str) or not given.isascii() or not 0 < len(given) <= LONGEST_ANSWER * 4:
            raise Refusal(403, f"{self.field}: the challenge's answer is missing")
        form = {"secret": self.secret, "response": given, "remoteip": address}
        try:
            async with httpx.AsyncClient(timeout=SECONDS) as client:
                answer = (await client.post(self.url, data=form)).raise_for_status().json()
            success, host = answer["success"], answer.get("hostname")
        except (httpx.HTTPError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise Refusal(503, "the challenge cannot be checked now; try again") from error
        # Its maker says for which page it was solved: another's visitors solve nothing here.
        ours = [urlsplit(one).hostname for one in self.origins]
        if success is not True or (host is not None and host not in ours):
            raise Refusal(403, f"{self.field}: the challenge is not solved")


def read(settings: Settings) -> Challenge | None:
    """The mode's settings; None where no origin is named.

    Raises:
        BadSettingError: an origin that is none, no or another maker, no secret.
    """
    if not settings.has("webhook-origins"):
        return None
    origins = tuple(one.strip() for one in settings.get("webhook-origins").split(",") if one.strip())
    for one in origins:
        if not _ORIGIN.fullmatch(one):
            raise BadSettingError(f"WEBHOOK_ORIGINS: {one!r} is no origin such as https://example.com")
    maker = settings.get("webhook-challenge") if settings.has("webhook-challenge") else ""
    if maker not in MAKERS:
        raise BadSettingError(f"WEBHOOK_CHALLENGE: {maker!r} is none of {', '.join(MAKERS)}; WEBHOOK_ORIGINS needs it")
    if not settings.has("webhook-challenge-secret"):
        raise BadSettingError("WEBHOOK_CHALLENGE_SECRET: missing, and WEBHOOK_ORIGINS needs it; its maker shows it")
    field, url = MAKERS[maker]
    if settings.has("webhook-challenge-url"):
        url = settings.get("webhook-challenge-url")
    return Challenge(origins, field, url, settings.get("webhook-challenge-secret"))


class OnRoutes:
    """Starlette's CORS for some paths, and for no other."""

    def __init__(self, app: ASGIApp, paths: Collection[str], origins: Collection[str]) -> None:
        """`origins` may post JSON to `paths`."""
        self._app, self._paths = app, frozenset(paths)
        self._cors = CORSMiddleware(app, allow_origins=origins, allow_methods=["POST"], allow_headers=["content-type"])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one call."""
        there = scope["type"] == "http" and scope["path"] in self._paths
        await (self._cors if there else self._app)(scope, receive, send)
