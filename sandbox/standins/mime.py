"""An accepted mail as the message that leaves: RFC 5322, with the headers that its sender and the service put there."""

from __future__ import annotations

import email.policy
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Any

_POLICY = email.policy.SMTP.clone(max_line_length=998, cte_type="7bit")


def message_id(mail: dict[str, Any]) -> str:
    """The `Message-ID` that the service gives it."""
    return f"<{mail['id']}@standin.hublab.test>"


def original(mail: dict[str, Any]) -> bytes:
    """The whole message; blind copies are not in it."""
    payload, made = mail["payload"], EmailMessage(_POLICY)
    given = {name.lower() for name in payload.get("headers") or {}}
    for name, value in {
        "From": payload["from"],
        "To": ", ".join(listed(payload["to"])),
        "Cc": ", ".join(listed(payload.get("cc"))),
        "Reply-To": ", ".join(listed(payload.get("reply_to"))),
        "Subject": payload["subject"],
        "Date": format_datetime(mail["created"]),
        "Message-ID": message_id(mail),
        **(payload.get("headers") or {}),
    }.items():
        if value and (name.lower() not in given or name in payload["headers"]):
            made[name] = value
    made.set_content(payload.get("text") or "")
    if payload.get("html"):
        made.add_alternative(payload["html"], subtype="html")
    return made.as_bytes()


def listed(value: Any) -> list[str]:
    """One address or several, as a list."""
    if not value:
        return []
    return [value] if isinstance(value, str) else list(value)
