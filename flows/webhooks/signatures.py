"""Who a webhook comes from: shared secret, HMAC over the raw body, Calendly's and Resend's own signatures. Pure."""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

CALENDLY_SECONDS = 180
SVIX_SECONDS = 300


class NotAuthenticError(Exception):
    """A call whose sender is not who it must be; says what was wrong and nothing of the secret."""


def equal(given: str, wanted: str) -> bool:
    """Constant-time comparison of any two texts."""
    return hmac.compare_digest(given.encode(), wanted.encode())


def _hex(secret: str, message: bytes) -> str:
    return hmac.new(secret.encode(), message, hashlib.sha256).hexdigest()


def caller(headers: Mapping[str, str], body: bytes, secret: str) -> None:
    """The funnel page and our own callers: `X-Webhook-Secret`, or `X-Webhook-Signature: sha256=<hex HMAC of the body>`.

    Raises:
        NotAuthenticError: neither is there, or what is there is wrong.
    """
    signature = headers.get("x-webhook-signature")
    if signature is not None:
        if equal(signature, f"sha256={_hex(secret, body)}"):
            return
    elif equal(headers.get("x-webhook-secret", ""), secret):
        return
    raise NotAuthenticError("X-Webhook-Secret or X-Webhook-Signature is missing or wrong")


def calendly(headers: Mapping[str, str], body: bytes, secret: str, now: float) -> None:
    """Calendly: `Calendly-Webhook-Signature: t=…,v1=…`, the hex HMAC over `t.body`.

    Raises:
        NotAuthenticError: missing, wrong, or older or newer than three minutes.
    """
    parts = dict(part.partition("=")[::2] for part in headers.get("calendly-webhook-signature", "").split(","))
    stamp = parts.get("t", "")
    if not _recent(stamp, now, CALENDLY_SECONDS):
        raise NotAuthenticError("Calendly-Webhook-Signature: t is missing or out of time")
    if not equal(parts.get("v1", ""), _hex(secret, stamp.encode() + b"." + body)):
        raise NotAuthenticError("Calendly-Webhook-Signature: v1 is wrong")


def is_svix_secret(secret: str) -> bool:
    """Whether a secret can be decoded as one of Resend's webhooks."""
    try:
        return bool(base64.b64decode(secret.removeprefix("whsec_"), validate=True))
    except ValueError:
        return False


def resend(headers: Mapping[str, str], body: bytes, secret: str, now: float) -> None:
    """Resend: the svix scheme, base64 HMAC over `id.timestamp.body` with the decoded secret.

    Written here rather than by `resend.Webhooks.verify`, which is given a str and so cannot see the raw bytes.

    Raises:
        NotAuthenticError: missing, wrong, or older or newer than five minutes.
    """
    identity, stamp = headers.get("svix-id", ""), headers.get("svix-timestamp", "")
    if not identity or not _recent(stamp, now, SVIX_SECONDS):
        raise NotAuthenticError("svix-id or svix-timestamp is missing or out of time")
    key = base64.b64decode(secret.removeprefix("whsec_"))
    mac = hmac.new(key, f"{identity}.{stamp}.".encode() + body, hashlib.sha256).digest()
    wanted = base64.b64encode(mac).decode()
    # All candidates are compared: which one matched must not show in the time taken.
    good = [equal(one.removeprefix("v1,"), wanted) for one in headers.get("svix-signature", "").split(" ")]
    if not any(good):
        raise NotAuthenticError("svix-signature is wrong")


def _recent(stamp: str, now: float, tolerance: float) -> bool:
    return stamp.isascii() and stamp.isdigit() and len(stamp) <= 12 and abs(now - int(stamp)) <= tolerance  # noqa: PLR2004
