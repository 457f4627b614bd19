"""The address in each mail by which a recipient unsubscribes, and its proof. Pure."""

from __future__ import annotations

import base64
import hashlib
import hmac

MAC_BYTES = 16


class BadTokenError(ValueError):
    """A token that was not made here."""


def _mac(secret: str, text: bytes) -> bytes:
    return hmac.new(secret.encode(), b"unsubscribe:" + text, hashlib.sha256).digest()[:MAC_BYTES]


def token(secret: str, email: str) -> str:
    """A token that names an address and proves that this system made it."""
    text = email.encode()
    return base64.urlsafe_b64encode(_mac(secret, text) + text).decode().rstrip("=")


def address(secret: str, given: str) -> str:
    """The address that a token names; compared in constant time.

    Raises:
        BadTokenError: not a token of this system.
    """
    try:
        raw = base64.urlsafe_b64decode(given + "=" * (-len(given) % 4))
        email = raw[MAC_BYTES:].decode()
    except ValueError:
        raise BadTokenError("unsubscribe: the token cannot be read") from None
    if not email or not hmac.compare_digest(raw[:MAC_BYTES], _mac(secret, raw[MAC_BYTES:])):
        raise BadTokenError("unsubscribe: the token is not one of ours")
    return email


def url(public: str, secret: str, email: str) -> str:
    """The whole address for one recipient; `public` is where the webhook app is reached from outside."""
    return f"{public.rstrip('/')}/unsubscribe/{token(secret, email)}"
