"""One mail as its reader gets it, and what is given of it from outside. Pure."""

from __future__ import annotations

import email
import email.policy
import re
from dataclasses import dataclass
from email.utils import formataddr, getaddresses
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

_RESULT = re.compile(r"(?:^|[;\s])(dkim|spf|dmarc)\s*=\s*([a-z]+)")


@dataclass(frozen=True)
class Letter:
    """What was accepted.

    Attributes:
        sender: `Name <address>`.
        reply_to: As `to`.
        to: Addresses.
        cc: As `to`.
        bcc: As `to`.
        subject: One line.
        html: The HTML part; empty where there is none.
        text: The text part; empty where there is none.
        message_id: With its angle brackets.
        headers: Name in lower case → each of its values, unfolded. None where nobody shows them: Resend's API does not.
    """

    sender: str
    reply_to: tuple[str, ...]
    to: tuple[str, ...]
    cc: tuple[str, ...]
    bcc: tuple[str, ...]
    subject: str
    html: str
    text: str
    message_id: str
    headers: Mapping[str, tuple[str, ...]] | None = None


def parsed(raw: Mapping[str, Any]) -> Letter:
    """A mail as Resend answers it."""
    return Letter(
        sender=str(raw.get("from") or ""),
        reply_to=several(raw.get("reply_to")),
        to=several(raw.get("to")),
        cc=several(raw.get("cc")),
        bcc=several(raw.get("bcc")),
        subject=str(raw.get("subject") or ""),
        html=str(raw.get("html") or ""),
        text=str(raw.get("text") or ""),
        message_id=str(raw.get("message_id") or ""),
    )


def received(original: bytes) -> Letter:
    """A mail as a mailbox holds it (RFC 5322)."""
    found = email.message_from_bytes(original, policy=email.policy.default)
    names = dict.fromkeys(name.lower() for name in found)
    headers = {name: tuple(str(value).strip() for value in found.get_all(name, [])) for name in names}

    def part(kind: str) -> str:
        body = found.get_body((kind,))
        return str(body.get_content()) if body else ""

    def people(name: str) -> list[tuple[str, str]]:
        return [(called, address) for called, address in getaddresses(headers.get(name, ())) if address]

    return Letter(
        sender=headers.get("from", ("",))[0],
        reply_to=tuple(map(formataddr, people("reply-to"))),
        to=tuple(address for _, address in people("to")),
        cc=tuple(address for _, address in people("cc")),
        bcc=tuple(address for _, address in people("bcc")),
        subject=headers.get("subject", ("",))[0],
        html=part("html"),
        text=part("plain"),
        message_id=headers.get("message-id", ("",))[0],
        headers=headers,
    )


def authenticated(headers: Mapping[str, tuple[str, ...]]) -> dict[str, str]:
    """What the mailbox's own server found: `dkim`, `spf` and `dmarc`, each with its result; only those that it names.

    Each server puts its `Authentication-Results` on top (RFC 8601): one below it may be the sender's own.
    """
    return dict(_RESULT.findall(headers.get("authentication-results", ("",))[0].lower()))


def several(value: Any) -> tuple[str, ...]:
    """One address or a list of them, as Resend answers either."""
    if not value:
        return ()
    return (value,) if isinstance(value, str) else tuple(map(str, value))
