"""The judgement on one failed attempt to call Notion: whether to try again, and whether something may be saved."""

from __future__ import annotations

import json
import re

import httpx
from notion_client.errors import HTTPResponseError, RequestTimeoutError

from flows.services.errors import NotionError, NotionMissingError, NotionNoOptionError

_NO_OPTION = re.compile(r"(?:select|status) option .* not found", re.IGNORECASE)
_NO_PROPERTY = re.compile(
    r"is not a property that exists|Could not find property|is expected to be|does not match filter"
)
_MISSING, _TIMEOUT, _CONFLICT, _REFUSED, _SERVER = 404, 408, 409, 429, 500


class Trouble(Exception):  # noqa: N818 - becomes one of those in errors.py
    """One failed attempt, judged."""

    def __init__(self, error: Exception) -> None:
        """`error` is the SDK's or httpx's, or that of an answer that is not JSON."""
        self.status: int | None = getattr(error, "status", None)
        self.code = str(getattr(getattr(error, "code", ""), "value", getattr(error, "code", "")))
        self.never_sent = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
        self.retry_after, self.committed = _hints(error)
        lost = isinstance(error, httpx.RequestError | RequestTimeoutError | json.JSONDecodeError)
        blocked = self.code == "public_api_request_blocked" or "public_api_request_blocked" in getattr(
            error, "body", ""
        )
        self.refused = self.status == _REFUSED and not blocked
        # Whatever a server's error: the network before Notion has more of them than Notion (520 to 526).
        again = self.status in {_TIMEOUT, _CONFLICT} or (self.status or 0) >= _SERVER
        self.transient = lost or self.refused or again
        # Nothing was saved for certain: it never arrived, was refused before it was read, or lost a race.
        self.unsaved = self.never_sent or self.refused or self.status == _CONFLICT
        super().__init__(f"{self.status or 'no answer'} {self.code or type(error).__name__}: {error}")

    def final(self, what: str) -> NotionError:
        """The error of a call that is not tried again."""
        kind = NotionMissingError if self.status == _MISSING else NotionError
        if self.code == "validation_error" and _NO_OPTION.search(str(self)):
            kind = NotionNoOptionError
        return kind(f"{what}: {self}{self._remedy()}")

    def _remedy(self) -> str:
        found = _NO_PROPERTY.search(str(self)) if self.code == "validation_error" else None
        if found is None:
            return ""
        return (
            ". Was it renamed, or is it of another kind? `./hublab campaign preflight` says so, "
            "with the lines for notion.toml"
        )


def _hints(error: Exception) -> tuple[float | None, str | None]:
    if not isinstance(error, HTTPResponseError):
        return None, None
    try:
        wait: float | None = float(error.headers.get("retry-after", ""))
    except ValueError:
        wait = None
    try:
        body = json.loads(error.body)
        committed = body.get("committed_resource_id") or (body.get("additional_data") or {}).get(
            "committed_resource_id"
        )
    except (ValueError, AttributeError):
        committed = None
    return wait, committed
