"""One mail as its reader gets it, and what is given of it from outside. Pure."""

from __future__ import annotations

import email
import email.policy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


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
        headers: Name in lower case → each of its values. None where nobody shows them: Resend's API does not.
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


def parsed(raw: Mapping[str, Any], original: bytes | None = None) -> Letter:
    """A mail as Resend answers it; with its `original` (RFC 5322), its headers."""
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
        headers=None if original is None else headers(original),
    )


def headers(original: bytes) -> dict[str, tuple[str, ...]]:
    """The headers of an original, unfolded and decoded."""
    found = email.message_from_bytes(original, policy=email.policy.default)
    names = dict.fromkeys(name.lower() for name in found)
    return {name: tuple(str(value).strip() for value in found.get_all(name, [])) for name in names}


def several(value: Any) -> tuple[str, ...]:
    """One address or a list of them, as Resend answers either."""
    if not value:
        return ()
    return (value,) if isinstance(value, str) else tuple(map(str, value))
