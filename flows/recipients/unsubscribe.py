"""The address in each mail by which a recipient unsubscribes, and its proof. Pure."""

from __future__ import annotations

import base64
import hashlib
import hmac

from flows.services.settings import several

MAC_BYTES = 16
PURPOSE = "unsubscribe"


class BadTokenError(ValueError):
    """A token that was not made here."""


class UnknownSignatureError(BadTokenError):
    """A token that these secrets did not sign: an older or a newer one may have."""


def _mac(secret: str, purpose: str, text: bytes) -> bytes:
    return hmac.new(secret.encode(), f"{purpose}:".encode() + text, hashlib.sha256).digest()[:MAC_BYTES]


def token(secret: str, email: str, purpose: str = PURPOSE) -> str:
    """A token that names an address, or an enrolment, and proves that this system made it for that purpose.

    Of several secrets the first signs.
    """
    text = email.encode()
    return base64.urlsafe_b64encode(_mac(several(secret)[0], purpose, text) + text).decode().rstrip("=")


def address(secret: str, given: str, purpose: str = PURPOSE) -> str:
    """The address that a token names; compared in constant time, with each of several secrets.

    Raises:
        UnknownSignatureError: it has the form of one, and no secret given here made it.
        BadTokenError: not a token at all.
    """
    try:
        raw = base64.urlsafe_b64decode(given + "=" * (-len(given) % 4))
        email = raw[MAC_BYTES:].decode()
    except ValueError:
        raise BadTokenError(f"{purpose}: the token cannot be read") from None
    good = [hmac.compare_digest(raw[:MAC_BYTES], _mac(one, purpose, raw[MAC_BYTES:])) for one in several(secret)]
    if not email or not any(good):
        raise UnknownSignatureError(f"{purpose}: the token is not one of ours")
    return email


def url(public: str, secret: str, email: str) -> str:
    """The whole address for one recipient; `public` is where the webhook app is reached from outside."""
    return f"{public.rstrip('/')}/unsubscribe/{token(secret, email)}"
