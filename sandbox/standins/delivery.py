"""What becomes of an accepted mail: `last_event` moves, and webhooks are signed and sent.

Follows resend.com/docs/webhooks: the svix scheme, retried after 5 s, 5 min, 30 min, 2 h, 5 h and 10 h.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import json
import smtplib
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import httpx

from sandbox.standins.clock import iso
from sandbox.standins.mime import original
from sandbox.standins.resend_payload import address, reached, simulated

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from datetime import datetime

    from sandbox.standins.resend_store import ResendStore

RETRIES = (5, 300, 1800, 7200, 18000, 36000)
TICK = 0.05
_AGAIN = timedelta(seconds=1)
_SMTP_SECONDS = 10


@dataclass
class _Message:
    id: str
    body: str
    due: datetime
    attempt: int = 0


def signature(secret: str, identity: str, timestamp: int, body: str) -> str:
    """The `svix-signature` header's value."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    mac = hmac.new(key, f"{identity}.{timestamp}.{body}".encode(), hashlib.sha256).digest()
    return f"v1,{base64.b64encode(mac).decode()}"


class Delivery:
    """Moves mails on and tells the subscriber."""

    def __init__(self, store: ResendStore) -> None:
        """Without a subscriber until `subscribe` is called."""
        self._store = store
        self._url: str | None = None
        self._secret = ""
        self._queue: list[_Message] = []
        self._server: tuple[str, int] | None = None

    def subscribe(self, url: str, secret: str) -> None:
        """Send events to `url` from now on, signed with `secret` (`whsec_…`)."""
        self._url, self._secret = url, secret

    def relay(self, server: str | None) -> None:
        """Hand mails to a server by SMTP (`host:port`) from now on; only what it has taken is delivered."""
        host, _, port = (server or "").rpartition(":")
        self._server = (host, int(port)) if server else None

    def suppress(self, email: str, origin: str) -> dict[str, str]:
        """Put an address on the suppression list; the entry that is there stays."""
        entry = {"object": "suppression", "id": str(uuid4()), "email": email, "origin": origin}
        return self._store.suppressed.setdefault(email, entry)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Deliver for as long as the application lives."""
        task = asyncio.create_task(self._loop())
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _loop(self) -> None:
        async with httpx.AsyncClient(timeout=5, trust_env=False) as client:
            while True:
                await self._hand_over()
                self.step()
                await self._post(client)
                await asyncio.sleep(TICK)

    async def _hand_over(self) -> None:
        """Give the server what is due; a server that is away is asked again, and one that refuses has bounced it."""
        if self._server is None:
            return
        now = self._store.clock.now()
        for mail in list(self._store.mails):
            due = mail.get("again") or mail["created"] + timedelta(seconds=self._store.delivery)
            if now < due or not self._waits(mail):
                continue
            try:
                await asyncio.to_thread(handed, mail, self._server)
            except (smtplib.SMTPRecipientsRefused, smtplib.SMTPDataError, smtplib.SMTPSenderRefused):
                mail["refused"] = True
            except (smtplib.SMTPException, OSError):
                mail["again"] = now + _AGAIN
            else:
                mail["handed"] = True

    def _waits(self, mail: dict[str, Any]) -> bool:
        """Whether a mail is to be delivered, and the server has neither taken nor refused it."""
        return "delivered" in fate(mail) and not mail.get("handed") and "delivered" not in mail["told"]

    def step(self) -> None:
        """Give each mail the events that are due."""
        now = self._store.clock.now()
        for mail in self._store.mails:
            age = (now - mail["created"]).total_seconds()
            for index, event in enumerate(fate(mail)):
                if event == "delivered" and self._server and self._waits(mail):
                    break
                if event not in mail["told"] and age >= index * self._store.delivery:
                    self._happen(mail, event)

    def _happen(self, mail: dict[str, Any], event: str) -> None:
        mail["told"].append(event)
        mail["last_event"] = event
        if event in {"bounced", "complained"}:
            self.suppress(mail["to"][0].lower(), "bounce" if event == "bounced" else "complaint")
        if self._url is None:
            return
        now = self._store.clock.now()
        payload = mail["payload"]
        data: dict[str, Any] = {
            "email_id": mail["id"],
            "created_at": iso(mail["created"]),
            "from": payload["from"],
            "to": mail["to"],
            "subject": payload["subject"],
        }
        if tags := payload.get("tags"):
            data["tags"] = {tag["name"]: tag["value"] for tag in tags}
        if headers := payload.get("headers"):
            data["headers"] = [{"name": name, "value": value} for name, value in headers.items()]
        if event == "bounced":
            data["bounce"] = {
                "diagnosticCode": ["smtp; 550 5.1.1 user unknown"],
                "message": "The recipient does not exist.",
                "type": "Permanent",
                "subType": "General",
            }
        if event == "suppressed":
            origin = self._store.suppressed.get(mail["to"][0].lower(), {}).get("origin", "bounce")
            data["suppressed"] = {
                "diagnosticCode": [],
                "message": "The address is on the suppression list.",
                "reason": f"previous_{origin}",
                "type": "OnAccountSuppressionList",
            }
        body = json.dumps({"type": f"email.{event}", "created_at": iso(now), "data": data})
        self._queue.append(_Message(f"msg_{uuid4().hex}", body, now))

    async def _post(self, client: httpx.AsyncClient) -> None:
        now = self._store.clock.now()
        for message in [m for m in self._queue if m.due <= now]:
            timestamp = int(now.timestamp())
            headers = {
                "content-type": "application/json",
                "svix-id": message.id,
                "svix-timestamp": str(timestamp),
                "svix-signature": signature(self._secret, message.id, timestamp, message.body),
            }
            try:
                answer = await client.post(str(self._url), content=message.body, headers=headers)
                done = answer.is_success
            except httpx.HTTPError:
                done = False
            if done or message.attempt >= len(RETRIES):
                self._queue.remove(message)
                continue
            message.due = now + timedelta(seconds=RETRIES[message.attempt])
            message.attempt += 1


def handed(mail: dict[str, Any], server: tuple[str, int]) -> None:
    """Hand one mail to a server, for everybody whom it goes to. Raises SMTPException, OSError."""
    payload = mail["payload"]
    sender = f"bounces@send.{address(payload['from'], 'from').rpartition('@')[2]}"
    with smtplib.SMTP(*server, timeout=_SMTP_SECONDS) as there:
        there.sendmail(sender, reached(payload), original(mail))


def fate(mail: dict[str, Any]) -> list[str]:
    """The events of a mail, by its address: Resend's test addresses, and they alone, do what their names say."""
    wanted = simulated(mail["to"][0])
    if mail["suppressed"] or wanted == "suppressed":
        return ["sent", "suppressed"]
    if wanted == "bounced" or mail.get("refused"):
        return ["sent", "bounced"]
    if wanted == "complained":
        return ["sent", "delivered", "complained"]
    return ["sent", "delivered"]
