"""Who a webhook comes from: shared secret, HMAC over the raw body, Calendly's and Resend's own signatures. Pure."""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

CALENDLY_SECONDS = 180
SVIX_SECONDS = 300


class NotAuthenticError(Exception):
    """A call whose sender is not who it must be; says what was wrong and nothing of the secret."""


def equal(given: str, wanted: str) -> bool:
    """Constant-time comparison of any two texts."""
    return hmac.compare_digest(given.encode(), wanted.encode())


def _hex(secret: str, message: bytes) -> str:
    return hmac.new(secret.encode(), message, hashlib.sha256).hexdigest()


def _one_of(given: str, wanted: Sequence[str]) -> bool:
    """Whether a text is one of some; all are compared: which one matched must not show in the time taken."""
    found = [equal(given, one) for one in wanted]
    return any(found)


def caller(headers: Mapping[str, str], body: bytes, secrets: Sequence[str]) -> None:
    """The funnel page and our own callers: `X-Webhook-Secret`, or `X-Webhook-Signature: sha256=<hex HMAC of the body>`.

    Raises:
        NotAuthenticError: neither is there, or what is there is wrong.
    """
    signature = headers.get("x-webhook-signature")
    if signature is not None:
        if _one_of(signature, [f"sha256={_hex(secret, body)}" for secret in secrets]):
            return
    elif _one_of(headers.get("x-webhook-secret", ""), secrets):
        return
    raise NotAuthenticError("X-Webhook-Secret or X-Webhook-Signature is missing or wrong")


def signed(name: str, headers: Mapping[str, str], body: bytes, secrets: Sequence[str], now: float) -> None:
    """What Calendly or Cal.com signs. Raises NotAuthenticError."""
    if name == "calendly":
        calendly(headers, body, secrets, now)
    elif not _one_of(headers.get("x-cal-signature-256", ""), [_hex(secret, body) for secret in secrets]):
        raise NotAuthenticError("X-Cal-Signature-256 is wrong")


def calendly(headers: Mapping[str, str], body: bytes, secrets: Sequence[str], now: float) -> None:
    """Calendly: `Calendly-Webhook-Signature: t=…,v1=…`, the hex HMAC over `t.body`.

    Raises:
        NotAuthenticError: missing, wrong, or older or newer than three minutes.
    """
    parts = dict(part.partition("=")[::2] for part in headers.get("calendly-webhook-signature", "").split(","))
    stamp = parts.get("t", "")
    if not _recent(stamp, now, CALENDLY_SECONDS):
        raise NotAuthenticError("Calendly-Webhook-Signature: t is missing or out of time")
    if not _one_of(parts.get("v1", ""), [_hex(secret, stamp.encode() + b"." + body) for secret in secrets]):
        raise NotAuthenticError("Calendly-Webhook-Signature: v1 is wrong")


def is_svix_secret(secret: str) -> bool:
    """Whether a secret can be decoded as one of Resend's webhooks."""
    try:
        return bool(base64.b64decode(secret.removeprefix("whsec_"), validate=True))
    except ValueError:
        return False


def resend(headers: Mapping[str, str], body: bytes, secrets: Sequence[str], now: float) -> None:
    """Resend: the svix scheme, base64 HMAC over `id.timestamp.body` with the decoded secret.

    Written here rather than by `resend.Webhooks.verify`, which is given a str and so cannot see the raw bytes.

    Raises:
        NotAuthenticError: missing, wrong, or older or newer than five minutes.
    """
    identity, stamp = headers.get("svix-id", ""), headers.get("svix-timestamp", "")
    if not identity or not _recent(stamp, now, SVIX_SECONDS):
        raise NotAuthenticError("svix-id or svix-timestamp is missing or out of time")
    wanted = [_svix(secret, f"{identity}.{stamp}.".encode() + body) for secret in secrets]
    given = headers.get("svix-signature", "").split(" ")
    found = [_one_of(one.removeprefix("v1,"), wanted) for one in given]
    if not any(found):
        raise NotAuthenticError("svix-signature is wrong")


def _svix(secret: str, message: bytes) -> str:
    key = base64.b64decode(secret.removeprefix("whsec_"))
    return base64.b64encode(hmac.new(key, message, hashlib.sha256).digest()).decode()


def _recent(stamp: str, now: float, tolerance: float) -> bool:
    return stamp.isascii() and stamp.isdigit() and len(stamp) <= 12 and abs(now - int(stamp)) <= tolerance  # noqa: PLR2004
