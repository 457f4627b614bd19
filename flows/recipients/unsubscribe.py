"""The address in each mail by which a recipient unsubscribes, and its proof. Pure."""

from __future__ import annotations

import base64
import hashlib
import hmac

from flows.services.settings import several

MAC_BYTES = 16


class BadTokenError(ValueError):
    """A token that was not made here."""


class UnknownSignatureError(BadTokenError):
    """A token that these secrets did not sign: an older or a newer one may have."""


def _mac(secret: str, text: bytes) -> bytes:
    return hmac.new(secret.encode(), b"unsubscribe:" + text, hashlib.sha256).digest()[:MAC_BYTES]


def token(secret: str, email: str) -> str:
    """A token that names an address and proves that this system made it; of several secrets the first signs."""
    text = email.encode()
    return base64.urlsafe_b64encode(_mac(several(secret)[0], text) + text).decode().rstrip("=")


def address(secret: str, given: str) -> str:
    """The address that a token names; compared in constant time, with each of several secrets.

    Raises:
        UnknownSignatureError: it has the form of one, and no secret given here made it.
        BadTokenError: not a token at all.
    """
    try:
        raw = base64.urlsafe_b64decode(given + "=" * (-len(given) % 4))
        email = raw[MAC_BYTES:].decode()
    except ValueError:
        raise BadTokenError("unsubscribe: the token cannot be read") from None
    good = [hmac.compare_digest(raw[:MAC_BYTES], _mac(one, raw[MAC_BYTES:])) for one in several(secret)]
    if not email or not any(good):
        raise UnknownSignatureError("unsubscribe: the token is not one of ours")
    return email


def url(public: str, secret: str, email: str) -> str:
    """The whole address for one recipient; `public` is where the webhook app is reached from outside."""
    return f"{public.rstrip('/')}/unsubscribe/{token(secret, email)}"
