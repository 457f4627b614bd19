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
from starlette.requests import ClientDisconnect

from flows.campaigns import payloads
from flows.campaigns.model import sequences
from flows.recipients import confirmation, unsubscribe
from flows.services.settings import BadSettingError, several
from flows.webhooks import archive, bookings, challenge, events, reader, signatures
from flows.webhooks.background import Repeated
from flows.webhooks.bodies import Refusal, limited, parsed
from flows.webhooks.callers import BOOKINGS, Callers, variable
from flows.webhooks.forwarding import Forwarder, age
from flows.webhooks.limits import HOUR, Limits
from flows.webhooks.links import Links
from flows.webhooks.signatures import NotAuthenticError
from flows.webhooks.spool import Spool, SpoolFullError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from flows.campaigns.model import Sequence
    from flows.services.settings import Settings

PARTS = ("enrolments", "suppressions", "events", "bookings", "alarms")
TOO_MANY = 429
STALE_SECONDS = 900  # an entry that waits longer makes /health say so


class Receiver:
    """What the routes share."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        """Settings are read once, at the start; enrolments do not wait behind events.

        Raises:
            MissingSettingError, BadSettingError: a secret that a route needs is not set or cannot be one.
        """
        self._callers = Callers(settings, sequences().values())
        self._resend = tuple(one for one in several(settings.get("resend-webhook-secret")) if "," not in one)
        self._links = Links(settings.get("unsubscribe-secret"))
        self.challenge = challenge.read(settings)
        self._limits = Limits(settings, self.alarm)
        self._last_alarm = ""
        if not all(signatures.is_svix_secret(one) for one in self._resend):
            raise BadSettingError(
                "resend-webhook-secret: is not what Resend shows (whsec_…); correct it, `./hublab campaign secrets`"
            )
        # Who has left waits behind nothing that Notion could hold up.
        self._parts = {name: Forwarder(Spool(folder / name)) for name in PARTS}
        self._repeated = (
            Repeated("reader", reader.EVERY, lambda _: reader.once(), "Notion was not read ahead"),
            Repeated("archive", archive.EVERY, archive.once, "what says that mails went out was not archived"),
        )

    def start(self) -> None:
        """Begin to forward."""
        for forwarder in self._parts.values():
            forwarder.start()
        for one in self._repeated:
            one.start()

    def stop(self) -> None:
        """End; what waits stays on disk."""
        for forwarder in self._parts.values():
            forwarder.stop()
        for one in self._repeated:
            one.stop()

    async def keep(
        self, part: str, key: str, entry: dict[str, Any], more: dict[str, str] | None = None
    ) -> JSONResponse:
        """202 once the entry is on disk; the answer says `more` beside. Raises Refusal (503) when it cannot be."""
        forwarder = self._parts[part]
        try:
            await asyncio.to_thread(forwarder.spool.put, key, entry)
        except (SpoolFullError, OSError) as error:
            raise Refusal(503, "cannot be kept now; try again") from error
        if part != "events":  # these wait for the forwarder's next round, and many share a query of Notion's
            forwarder.notify()
        return JSONResponse({"status": "accepted", "key": key} | (more or {}), 202)

    def enrolment(self, sequence: Sequence) -> Callable[[Request], Any]:
        """The endpoint of one sequence's webhook."""
        model = payloads.model(sequence)

        async def endpoint(request: Request) -> Response:
            body = await limited(request)
            given = await self._proven(request, sequence, body)
            if sequence.no_show and bookings.is_native(given):
                return await self._told("calendly", given)
            try:
                details = model.model_validate(given).model_dump(exclude_none=True)
            except ValidationError as error:
                raise Refusal(
                    422, error.errors(include_url=False, include_input=False, include_context=False)
                ) from None
            key = sequence.key_of(details)
            self._limits.admit(sequence.webhook, key, details["email"])
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
            return await self.keep("enrolments", key, entry, told)

        return endpoint

    async def _proven(self, request: Request, sequence: Sequence, body: bytes) -> dict[str, Any]:
        """The body of a call that may be made. Raises Refusal, NotAuthenticError."""
        if sequence.browser and self.challenge and self.challenge.asked(request.headers):
            address = request.client.host if request.client else ""
            self._limits.admit_caller(sequence.webhook, address)
            given = parsed(body)
            await self.challenge.solved(given, address)
            return given
        self._callers.prove(sequence.webhook, request.headers, body, time.time())
        return parsed(body)

    def booking(self, route: str) -> Callable[[Request], Any]:
        """The endpoint of a route of bookings."""

        async def endpoint(request: Request) -> Response:
            body = await limited(request)
            self._callers.prove(route, request.headers, body, time.time())
            return await self._told(BOOKINGS[route], parsed(body))

        return endpoint

    async def _told(self, signer: str, body: dict[str, Any]) -> Response:
        """Keep what a body tells of bookings. Raises Refusal."""
        try:
            found = bookings.understood(signer, body)
        except ValueError as error:
            raise Refusal(422, str(error)) from None
        answer: Response = JSONResponse({"status": "ignored"}, 202)
        for one in found:
            key = f"booking-{one['booking']}-{one['email']}-{one['status']}-{one['at']}"
            answer = await self.keep("bookings", key, {"kind": "booking", "booking": one})
        return answer

    def alarm(self, key: str, text: str) -> None:
        """Have the operator told of something: kept at Prefect, where the watch finds it."""
        forwarder, entry = self._parts["alarms"], {"kind": "alarm", "alarm": key, "text": text}

        def put() -> None:
            forwarder.spool.put(f"{key}-{datetime.now(UTC):%Y%m%d%H}", entry)
            forwarder.notify()

        asyncio.get_running_loop().run_in_executor(None, put)
        self._last_alarm = text

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
        email = await self._named(request, unsubscribe.PURPOSE)
        if request.method == "GET":
            return _page("Unsubscribe")
        return await self.keep_event(f"unsubscribe-{email}", events.unsubscribed(email))

    async def confirm(self, request: Request) -> Response:
        """An enrolment is confirmed, by POST alone as well."""
        enrolment = await self._named(request, confirmation.PURPOSE)
        if request.method == "GET":
            return _page("Confirm")
        entry = {"kind": "confirmation", "enrolment": enrolment, "at": datetime.now(UTC).isoformat()}
        await self.keep("suppressions", f"confirm-{enrolment}", entry)
        return Response("<!doctype html><title>Confirmed</title>Thank you.", 202, media_type="text/html")

    async def _named(self, request: Request, purpose: str) -> str:
        """What a link names. Raises Refusal."""
        try:
            return await self._links.named(str(request.path_params["token"]), purpose)
        except unsubscribe.BadTokenError as error:
            raise Refusal(404, str(error)) from None

    def describe(self) -> str:
        """What waits, and what the operator should see to, in one line, for `systemctl status`."""
        waiting = [f"{part.spool.waiting} {name}" for name, part in self._parts.items()]
        more = [part.trouble for part in self._parts.values() if part.trouble][:1]
        more += [
            f"{part.spool.broken} broken files in {part.spool.folder}" for part in self._parts.values()
            if part.spool.broken
        ]  # fmt: skip
        more += [self._last_alarm] if self._last_alarm else []
        more += [f"closed until {variable(route)} is set: /webhook/{route}" for route in self._callers.closed]
        return "; ".join([f"serving, waiting: {', '.join(waiting)}", *more])

    async def health(self, _: Request) -> Response:
        """200 while what comes in also goes out; 503 when an entry waits too long, or a file of the spool is broken.

        Why, `systemctl status` and the journal say: this page is public.
        """
        body, bad = {}, False
        for name, forwarder in self._parts.items():
            waits, spool = age(await asyncio.to_thread(forwarder.spool.oldest)), forwarder.spool
            bad = bad or waits > STALE_SECONDS or spool.broken > 0
            body[name] = {
                "waiting": spool.waiting,
                "oldest_seconds": round(waits),
                "trouble": forwarder.trouble is not None,
                "broken": spool.broken,
            }
        return JSONResponse(body, 503 if bad else 200)


def _page(what: str) -> Response:
    form = f"<!doctype html><title>{what}</title><form method=post><button>{what}</button></form>"
    return Response(form, media_type="text/html")


def _described(schema: dict[str, Any]) -> dict[str, Any]:
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


_ANSWERS: dict[int | str, dict[str, Any]] = {
    202: {"description": "safe: on disk or at Prefect"},
    401: {"description": "the sender is not who it must be"},
    403: {"description": "from a browser: the challenge is not solved"},
    413: {"description": "over 64 KB"},
    415: {"description": "not JSON"},
    422: {"description": "a required field is missing or a value is wrong"},
    429: {"description": "a limit is reached; try again in an hour"},
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

    app = FastAPI(title="Hublab webhooks", lifespan=lifespan, openapi_url=None, redirect_slashes=False)
    app.state.describe = receiver.describe
    if receiver.challenge:
        paths = [f"/webhook/{one.webhook}" for one in sequences().values() if one.browser]
        app.add_middleware(challenge.OnRoutes, paths=paths, origins=receiver.challenge.origins)
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
    for route in BOOKINGS:
        app.add_api_route(
            f"/webhook/{route}",
            receiver.booking(route),
            methods=["POST"],
            openapi_extra=more,
            responses=_ANSWERS,
            status_code=202,
        )
    app.add_api_route(
        "/webhook/resend", receiver.resend, methods=["POST"], openapi_extra=more, responses=_ANSWERS, status_code=202
    )
    for purpose, link in ((unsubscribe.PURPOSE, receiver.unsubscribe), (confirmation.PURPOSE, receiver.confirm)):
        app.add_api_route(f"/{purpose}/{{token}}", link, methods=["GET", "POST"], include_in_schema=False)
    app.add_api_route(
        "/health", receiver.health, methods=["GET"], responses={503: {"description": "an entry waits long"}}
    )
    app.add_api_route("/health", receiver.health, methods=["HEAD"], include_in_schema=False)  # as many monitors ask

    @app.exception_handler(Refusal)
    async def refused(_: Request, refusal: Refusal) -> Response:
        headers = {"retry-after": str(HOUR)} if refusal.status == TOO_MANY else None
        return JSONResponse({"detail": refusal.detail}, refusal.status, headers)

    @app.exception_handler(ClientDisconnect)
    async def gone(_: Request, __: ClientDisconnect) -> Response:
        return Response(status_code=400)  # nobody reads it; without it the log has a traceback for each

    @app.exception_handler(NotAuthenticError)
    async def unknown(_: Request, error: NotAuthenticError) -> Response:
        return JSONResponse({"detail": str(error)}, 401)

    return app
