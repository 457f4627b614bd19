"""The state of the Resend stand-in: mails accepted, keys remembered, addresses suppressed."""

from __future__ import annotations

import hashlib
import json
import threading
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from sandbox.standins.clock import Clock
from sandbox.standins.mime import listed, message_id
from sandbox.standins.resend_payload import Refused, address, invalid, reached, simulated, validated

KEY_LIFE = timedelta(hours=24)
MAX_KEY = 256


@dataclass
class ResendStore:
    """Everything that the stand-in knows; `delivery` is how many seconds a mail takes until its first event."""

    clock: Clock = field(default_factory=Clock)
    domains: dict[str, str] = field(default_factory=dict)
    delivery: float = 0.2
    mails: list[dict[str, Any]] = field(default_factory=list)
    keys: dict[str, tuple[datetime, str, Any]] = field(default_factory=dict)
    in_flight: set[str] = field(default_factory=set)
    suppressed: dict[str, dict[str, str]] = field(default_factory=dict)
    lock: threading.RLock = field(default_factory=threading.RLock)

    def once(self, key: str | None, payload: Any) -> Any:
        """The answer already given to this key, or None. Claims the key while the request is in flight.

        Raises:
            Refused: 400 for a key too long, 409 for the same key with another payload or still in flight.
        """
        if key is None:
            return None
        if not 1 <= len(key) <= MAX_KEY:
            raise Refused(400, "invalid_idempotency_key", f"The key must be between 1-{MAX_KEY} characters.")
        with self.lock:
            digest = hashlib.sha256(json.dumps(payload, sort_keys=True).encode()).hexdigest()
            known = self.keys.get(key)
            if known and self.clock.now() - known[0] < KEY_LIFE:
                if known[1] != digest:
                    message = "This idempotency key has been used on a request with a different payload."
                    raise Refused(409, "invalid_idempotent_request", message)
                return known[2]
            if key in self.in_flight:
                message = "Another request with the same idempotency key is in progress."
                raise Refused(409, "concurrent_idempotent_requests", message)
            self.in_flight.add(key)
            return None

    def settle(self, key: str | None, payload: Any, answer: Any) -> None:
        """Remember the answer under its key; None forgets the claim, so that it may be tried again."""
        if key is None:
            return
        with self.lock:
            self.in_flight.discard(key)
            if answer is not None:
                digest = hashlib.sha256(json.dumps(payload, sort_keys=True).encode()).hexdigest()
                self.keys[key] = (self.clock.now(), digest, answer)

    def accept(self, payload: dict[str, Any], key: str | None) -> dict[str, Any]:
        """Take one mail. Raises Refused."""
        validated(payload, self.domains)
        addresses = reached(payload)
        with self.lock:
            suppressed = any(item.lower() in self.suppressed for item in addresses)
            if len(addresses) > 1 and (suppressed or any(simulated(one) not in {"", "delivered"} for one in addresses)):
                raise invalid("A mail of which some recipients get another fate is not modelled by the stand-in.")
            mail = {
                "id": str(uuid4()),
                "payload": payload,
                "to": [address(one, "to") for one in listed(payload["to"])],
                "key": key,
                "created": self.clock.now(),
                "last_event": "sent",
                "told": [],
                "suppressed": suppressed,
            }
            self.mails.append(mail)
            return mail

    def find(self, identity: str) -> dict[str, Any]:
        """One mail. Raises Refused (404, 422)."""
        try:
            UUID(identity)
        except ValueError:
            raise Refused(422, "invalid_parameter", "The parameter must be a valid UUID") from None
        for mail in self.mails:
            if mail["id"] == identity:
                return mail
        raise Refused(404, "not_found", "Email not found")

    def listed(self, limit: int, after: str | None) -> tuple[list[dict[str, Any]], bool]:
        """The newest first, from a cursor on. Raises Refused (422)."""
        if not 1 <= limit <= 100:  # noqa: PLR2004
            raise invalid("`limit` must be between 1 and 100.")
        newest = list(reversed(self.mails))
        ids = [mail["id"] for mail in newest]
        if after is not None and after not in ids:
            raise invalid("The pagination cursor is invalid.")
        start = ids.index(after) + 1 if after else 0
        return newest[start : start + limit], start + limit < len(newest)


def shown(mail: dict[str, Any]) -> dict[str, Any]:
    """A mail as GET /emails/{id} answers it."""
    payload = mail["payload"]
    return {
        "object": "email",
        "id": mail["id"],
        "message_id": message_id(mail),
        "to": mail["to"],
        "from": payload["from"],
        "created_at": f"{mail['created']:%Y-%m-%d %H:%M:%S.%f}+00",
        "subject": payload["subject"],
        "html": payload.get("html", ""),
        "text": payload.get("text", ""),
        "bcc": listed(payload.get("bcc")),
        "cc": listed(payload.get("cc")),
        "reply_to": listed(payload.get("reply_to")),
        "last_event": mail["last_event"],
    }
