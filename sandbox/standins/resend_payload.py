"""What a mail may consist of, as Resend's API documents it. What is documented and not modelled here is refused.

Follows resend.com/docs/api-reference/emails/send-email, /api-reference/errors and /dashboard/emails/send-test-emails.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from sandbox.standins.mime import listed

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_RECIPIENTS = 50
REFUSED_DOMAINS = frozenset({"example.com", "example.org", "example.net", "test.com", "example"})
TEST_DOMAIN = "resend.dev"
SIMULATED = frozenset({"delivered", "bounced", "complained", "suppressed"})
_KEYS = frozenset({"from", "subject", "html", "text", "headers", "tags"})
_ADDRESSED = frozenset({"to", "bcc", "cc", "reply_to"})
_NOT_MODELLED = frozenset({"scheduled_at", "attachments", "template", "topic_id"})
# They are of the message itself; a sender sets them by the fields of the payload.
_OWN_HEADERS = frozenset(
    {"from", "to", "cc", "bcc", "reply-to", "subject", "date", "message-id", "content-type", "mime-version"}
)
_BARE = r"[^\s<>@,;]+@[^\s<>@,;]+\.[^\s<>@,;]+"
_ADDRESS = re.compile(rf"[^<>\r\n]*<({_BARE})>|({_BARE})")
_TAG = re.compile(r"[A-Za-z0-9_-]{1,256}")
_HEADER = re.compile(r"[!-9;-~]+")


class Refused(Exception):  # noqa: N818 - an answer, not a failure of the stand-in
    """A request that Resend would answer with an error."""

    def __init__(self, status: int, name: str, message: str) -> None:
        """`name` is Resend's error type."""
        super().__init__(message)
        self.status, self.name = status, name


def invalid(message: str) -> Refused:
    """422 `validation_error`."""
    return Refused(422, "validation_error", message)


def validated(payload: Any, domains: Mapping[str, str]) -> None:
    """Whether Resend would accept a payload. Raises Refused (422, 403)."""
    if not isinstance(payload, dict):
        raise invalid("The request body must be an object.")
    _known(payload)
    for name in ("from", "to", "subject"):
        if not payload.get(name):
            raise Refused(422, "missing_required_field", f"Missing `{name}` field.")
    for name in ("from", "subject", "html", "text"):
        if not isinstance(payload.get(name, ""), str):
            raise invalid(f"The `{name}` field must be a string.")
    if "\n" in payload["subject"] or "\r" in payload["subject"]:
        raise invalid("The `\\n` is not allowed in the `subject` field.")
    if not (payload.get("html") or payload.get("text")):
        raise Refused(422, "missing_required_field", "Missing `html` or `text` field.")
    for name in sorted(_ADDRESSED & payload.keys()):
        _recipients(name, payload[name])
    domain = address(payload["from"], "from").rpartition("@")[2].lower()
    if domains.get(domain) != "verified":
        raise Refused(403, "validation_error", f"The {domain} domain is not verified.")
    _headers(payload.get("headers", {}))
    _tags(payload.get("tags", []))


def _known(payload: dict[str, Any]) -> None:
    for name in payload:
        if name in _NOT_MODELLED:
            raise invalid(f"`{name}` is not modelled by the stand-in.")
        if name not in _KEYS | _ADDRESSED:
            raise invalid(f"The `{name}` field is not one of Resend's API.")


def _recipients(name: str, value: Any) -> None:
    several = [value] if isinstance(value, str) else value
    if not isinstance(several, list) or (name == "to" and not several):
        raise invalid(f"The `{name}` field must be a string or an array of strings.")
    if len(several) > MAX_RECIPIENTS:
        raise invalid(f"The `{name}` field has a maximum of {MAX_RECIPIENTS} addresses.")
    for one in several:
        bare = address(one, name).lower()
        domain = bare.rpartition("@")[2]
        if name == "reply_to":
            continue
        if domain in REFUSED_DOMAINS:
            raise invalid(
                f"Invalid `{name}` field. Please use our testing email address instead of domains like `example.com`."
            )
        if domain == TEST_DOMAIN and simulated(bare) not in SIMULATED:
            raise invalid(f"{one} is not modelled by the stand-in: {TEST_DOMAIN} has {', '.join(sorted(SIMULATED))}.")


def _headers(given: Any) -> None:
    if not isinstance(given, dict):
        raise invalid("The `headers` field must be an object.")
    seen: set[str] = set()
    for name, value in given.items():
        if not _HEADER.fullmatch(name) or not isinstance(value, str) or not value.isprintable():
            raise invalid(f"The header `{name}` must be one line of text.")
        if name.lower() in seen:
            raise invalid(f"The header `{name}` is there twice.")
        if name.lower() in _OWN_HEADERS:
            raise invalid(f"The header `{name}` is not modelled by the stand-in: it is a field of its own.")
        seen.add(name.lower())


def _tags(given: Any) -> None:
    if not isinstance(given, list):
        raise invalid("The `tags` field must be an array.")
    for tag in given:
        if not isinstance(tag, dict) or set(tag) != {"name", "value"}:
            raise invalid("A tag must be an object with `name` and `value`.")
        if not all(isinstance(part, str) and _TAG.fullmatch(part) for part in tag.values()):
            raise invalid("Tags should only contain ASCII letters, numbers, underscores, or dashes.")


def address(text: Any, name: str) -> str:
    """The bare address of `Name <address>`. Raises Refused (422)."""
    found = _ADDRESS.fullmatch(text) if isinstance(text, str) else None
    if not found:
        raise invalid(
            f"Invalid `{name}` field. The email address needs to follow the `email@example.com` or "
            "`Name <email@example.com>` format."
        )
    bare: str = found[1] or found[2]
    if not bare.isascii():
        raise invalid(f"{bare} is not modelled by the stand-in: it has letters that are not ASCII's.")
    return bare


def simulated(text: str) -> str:
    """What Resend's test address does, and it alone: as its name says. Empty for any other."""
    local, _, domain = text.lower().rpartition("@")
    return local.partition("+")[0] if domain == TEST_DOMAIN else ""


def reached(payload: Mapping[str, Any]) -> list[str]:
    """Every address that a payload goes to, the open ones first."""
    return [address(one, name) for name in ("to", "cc", "bcc") for one in listed(payload.get(name))]
