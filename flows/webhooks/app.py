"""The webhook app (ASGI). 202 means: on disk, and Prefect gets it however long it is away.

`python -m flows.webhooks.service` serves it.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from pydantic import ValidationError

from flows.campaigns import payloads
from flows.campaigns.model import sequences
from flows.recipients import unsubscribe
from flows.services.settings import BadSettingError
from flows.webhooks import events, signatures
from flows.webhooks.bodies import Refusal, limited, parsed
from flows.webhooks.forwarding import Forwarder, age
from flows.webhooks.signatures import NotAuthenticError
from flows.webhooks.spool import Spool, SpoolFullError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from flows.campaigns.model import Sequence
    from flows.services.settings import Settings

STALE_SECONDS = 900  # an entry that waits longer makes /health say so


class Receiver:
    """What the routes share."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        """Settings are read once, at the start; enrolments do not wait behind events.

        Raises:
            MissingSettingError, BadSettingError: a secret that a route needs is not set or cannot be one.
        """
        self._caller, self._resend = settings.get("webhook-secret"), settings.get("resend-webhook-secret")
        self._unsubscribe = settings.get("unsubscribe-secret")
        # Without it Calendly's own signature is refused; what posts for Calendly may use the callers' secret.
        self._calendly = settings.get("calendly-signing-key") if settings.has("calendly-signing-key") else None
        if not signatures.is_svix_secret(self._resend):
            raise BadSettingError(
                "resend-webhook-secret: is not what Resend shows (whsec_…); correct it, `make secrets`"
            )
        # Who has left waits behind nothing that Notion could hold up.
        self._parts = {name: Forwarder(Spool(folder / name)) for name in ("enrolments", "suppressions", "events")}

    def start(self) -> None:
        """Begin to forward."""
        for forwarder in self._parts.values():
            forwarder.start()

    def stop(self) -> None:
        """End; what waits stays on disk."""
        for forwarder in self._parts.values():
            forwarder.stop()

    async def keep(
        self, part: str, key: str, entry: dict[str, Any], more: dict[str, str] | None = None
    ) -> JSONResponse:
        """202 once the entry is on disk; the answer says `more` beside. Raises Refusal (503) when it cannot be."""
        forwarder = self._parts[part]
        try:
            await asyncio.to_thread(forwarder.spool.put, key, entry)
        except (SpoolFullError, OSError) as error:
            raise Refusal(503, "cannot be kept now; try again") from error
        forwarder.notify()
        return JSONResponse({"status": "accepted", "key": key} | (more or {}), 202)

    def enrolment(self, sequence: Sequence) -> Callable[[Request], Any]:
        """The endpoint of one sequence's webhook."""
        model = payloads.model(sequence)

        async def endpoint(request: Request) -> Response:
            body = await limited(request)
            if "calendly-webhook-signature" not in request.headers:
                signatures.caller(request.headers, body, self._caller)
            elif self._calendly:
                signatures.calendly(request.headers, body, self._calendly, time.time())
            else:
                raise NotAuthenticError("Calendly-Webhook-Signature: calendly-signing-key is not set here")
            try:
                details = model.model_validate(parsed(body)).model_dump(exclude_none=True)
            except ValidationError as error:
                raise Refusal(
                    422, error.errors(include_url=False, include_input=False, include_context=False)
                ) from None
            entry = {
                "kind": "enrolment",
                "campaign": sequence.campaign,
                "sequence": sequence.name,
                "payload": details,
                "received_at": datetime.now(UTC).isoformat(),
            }
            # The callers' own keys: what the server before this one answered with.
            told = {
                "message": "received; its mails are being scheduled",
                "email": details["email"],
                "campaign": sequence.label,
                "timestamp": entry["received_at"],
            }
            return await self.keep("enrolments", sequence.key(details["email"]), entry, told)

        return endpoint

    async def resend(self, request: Request) -> Response:
        """An event of Resend's. Raises Refusal, NotAuthenticError."""
        body = await limited(request)
        signatures.resend(request.headers, body, self._resend, time.time())
        try:
            event = events.understood(parsed(body))
        except ValueError as error:
            raise Refusal(422, str(error)) from None
        if event is None:
            return JSONResponse({"status": "ignored"}, 202)
        return await self.keep_event(f"event-{request.headers['svix-id']}", event)

    async def keep_event(self, key: str, event: dict[str, Any]) -> JSONResponse:
        """Keep an event, and before it, on a path of its own, that its address has left. Raises as `keep`."""
        if events.cause(event):
            await self.keep("suppressions", key, {"kind": "suppression", "event": event})
        return await self.keep("events", key, {"kind": "event", "event": event})

    async def unsubscribe(self, request: Request) -> Response:
        """One click (RFC 8058), by POST alone: a mail scanner that follows links must not unsubscribe anybody."""
        try:
            email = unsubscribe.address(self._unsubscribe, str(request.path_params["token"]))
        except unsubscribe.BadTokenError as error:
            raise Refusal(404, str(error)) from None
        if request.method == "GET":
            form = "<!doctype html><title>Unsubscribe</title><form method=post><button>Unsubscribe</button></form>"
            return Response(form, media_type="text/html")
        return await self.keep_event(f"unsubscribe-{email}", events.unsubscribed(email))

    def describe(self) -> str:
        """What waits, in one line, for `systemctl status`."""
        waiting = [f"{part.spool.waiting} {name}" for name, part in self._parts.items()]
        trouble = next((part.trouble for part in self._parts.values() if part.trouble), None)
        return f"serving, waiting: {', '.join(waiting)}" + (f"; {trouble}" if trouble else "")

    async def health(self, _: Request) -> Response:
        """200 while what comes in also goes out; 503 when an entry waits too long, with the reason."""
        body, late = {}, False
        for name, forwarder in self._parts.items():
            waits = age(await asyncio.to_thread(forwarder.spool.oldest))
            late = late or waits > STALE_SECONDS
            waiting = forwarder.spool.waiting
            body[name] = {"waiting": waiting, "oldest_seconds": round(waits), "trouble": forwarder.trouble}
        return JSONResponse(body, 503 if late else 200)


def _described(schema: dict[str, Any]) -> dict[str, Any]:
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


_ANSWERS: dict[int | str, dict[str, Any]] = {
    202: {"description": "safe: on disk or at Prefect"},
    401: {"description": "the sender is not who it must be"},
    413: {"description": "over 64 KB"},
    415: {"description": "not JSON"},
    422: {"description": "a required field is missing or a value is wrong"},
    503: {"description": "cannot be kept now; try again"},
}


def build(settings: Settings, folder: Path) -> FastAPI:
    """The app; `folder` is the spool.

    Raises:
        MissingSettingError: a secret that a route needs is not set.
    """
    receiver = Receiver(settings, folder)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        receiver.start()
        yield
        await asyncio.to_thread(receiver.stop)

    app = FastAPI(title="Hublab webhooks", lifespan=lifespan, docs_url=None, redoc_url=None)
    app.state.describe = receiver.describe
    for sequence in sequences().values():
        schema = payloads.model(sequence).model_json_schema(ref_template="#/components/schemas/{model}")
        path, more = f"/webhook/{sequence.webhook}", _described(schema)
        app.add_api_route(
            path,
            receiver.enrolment(sequence),
            methods=["POST"],
            openapi_extra=more,
            responses=_ANSWERS,
            status_code=202,
        )
    more = _described({"type": "object"})
    app.add_api_route(
        "/webhook/resend", receiver.resend, methods=["POST"], openapi_extra=more, responses=_ANSWERS, status_code=202
    )
    app.add_api_route("/unsubscribe/{token}", receiver.unsubscribe, methods=["GET", "POST"], include_in_schema=False)
    app.add_api_route(
        "/health", receiver.health, methods=["GET"], responses={503: {"description": "an entry waits long"}}
    )

    @app.exception_handler(Refusal)
    async def refused(_: Request, refusal: Refusal) -> Response:
        return JSONResponse({"detail": refusal.detail}, refusal.status)

    @app.exception_handler(NotAuthenticError)
    async def unknown(_: Request, error: NotAuthenticError) -> Response:
        return JSONResponse({"detail": str(error)}, 401)

    return app
