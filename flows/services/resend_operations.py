"""The one client of Resend: limited, retried under one idempotency key, typed errors, no key of ours in any of them."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

import resend
from resend.exceptions import ResendError

from flows.services.errors import (
    ResendConflictError,
    ResendFailedError,
    ResendQuotaError,
    ResendUnavailableError,
    WithheldError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from flows.services.settings import Settings

FIELDS = frozenset({"from", "to", "subject", "html", "text", "headers", "tags", "reply_to"})
TIMEOUT_SECONDS = 30
PAGE_SIZE, MAX_PAGES = 100, 50
BACKOFF_FIRST, BACKOFF_MOST = 0.5, 15.0
CLOCK_MARGIN = timedelta(minutes=5)  # how far Resend's clock may be behind ours
QUOTAS = frozenset({"daily_quota_exceeded", "monthly_quota_exceeded"})
_BAD_REQUEST, _TIMEOUT, _CONFLICT, _TOO_MANY, _SERVER = 400, 408, 409, 429, 500


@dataclass(frozen=True)
class _Trouble:
    status: int
    kind: str
    message: str
    wait: float

    @classmethod
    def of(cls, error: ResendError) -> _Trouble:
        headers = {name.lower(): value for name, value in error.headers.items()}
        try:
            wait = float(headers.get("retry-after", 0))
        except ValueError:
            wait = 0.0
        return cls(int(error.code), str(error.error_type), error.message, wait)

    @property
    def transient(self) -> bool:
        in_flight = self.kind == "concurrent_idempotent_requests"
        return self.status in {_TOO_MANY, _TIMEOUT} or self.status >= _SERVER or in_flight

    @property
    def refused(self) -> bool:
        """Whether Resend has certainly taken nothing: a time-out, a server's error or a conflict may hide a mail."""
        return _BAD_REQUEST <= self.status < _SERVER and self.status not in {_TIMEOUT, _CONFLICT}

    def __str__(self) -> str:
        return f"{self.status} {self.kind}: {self.message}"


class ResendOperations:
    """Calls on Resend. `limiter` waits for the shared limit; `calls` counts what was sent."""

    def __init__(self, settings: Settings, limiter: Callable[[], None]) -> None:
        """Raises MissingSettingError without an API key."""
        # The SDK keeps key, address and transport in its module: one Resend account per process.
        resend.api_key = settings.get("resend-api-key")
        resend.api_url = settings.get("HUBLAB_RESEND_URL")
        resend.default_http_client = resend.RequestsClient(timeout=TIMEOUT_SECONDS)
        self._limiter = limiter
        self._patience = settings.number("HUBLAB_RETRY_SECONDS")
        self.calls = 0

    def send(self, payload: dict[str, Any], key: str, look: Callable[[], str | None] = lambda: None) -> str:
        """Send one mail under an idempotency key; the mail's id at Resend, the same however often it is called.

        `look` is asked in the moment before each try, when all waiting is over, for a reason not to send it.

        Raises:
            ValueError: a field that the flows do not send.
            WithheldError: there is a reason.
            ResendConflictError, ResendUnavailableError, ResendFailedError: as they say.
        """
        unknown = set(payload) - FIELDS
        if unknown or not key:
            raise ValueError(
                f"send: unknown field {min(unknown)!r}" if unknown else "send: an idempotency key is needed"
            )
        return str(self._call("send", lambda: _sent(payload, key), look))

    def find(self, payload: dict[str, Any], since: datetime) -> str | None:
        """The id of a mail accepted since then with this recipient, subject and body; None when Resend has none.

        Raises:
            ResendFailedError: as `send`, or more mails since then than are searched.
        """
        same = (str(mail["id"]) for mail in self.listed(since) if self._same(mail, payload))
        return next(same, None)

    def listed(self, since: datetime, most: int = PAGE_SIZE * MAX_PAGES) -> Iterator[dict[str, Any]]:
        """The mails accepted since then, the newest first, with `created_at` as a time.

        Raises:
            ResendFailedError: as `send`, or more than `most` mails since then.
        """
        after: str | None = None
        for _ in range(0, most, PAGE_SIZE):
            asked: dict[str, Any] = {"limit": PAGE_SIZE} | ({"after": after} if after else {})
            page = self._call("list", lambda asked=asked: resend.Emails.list(cast("Any", asked)))  # type: ignore[misc]
            for mail in page["data"]:
                created = _when(mail["created_at"])
                if created < since - CLOCK_MARGIN:
                    return
                yield {**mail, "created_at": created}
            if not page["has_more"]:
                return
            after = page["data"][-1]["id"]
        raise ResendFailedError(
            f"over {most} mails went out since {since:%Y-%m-%d %H:%M}, too many to search; look at Resend"
        )

    def _same(self, mail: dict[str, Any], payload: dict[str, Any]) -> bool:
        to = mail["to"] if isinstance(mail["to"], list) else [mail["to"]]
        if to != payload["to"] or mail["subject"] != payload["subject"]:
            return False
        whole = self._call("get", lambda: resend.Emails.get(mail["id"]))
        return bool(str(whole.get("html") or "").split() == payload["html"].split())

    def domains(self) -> dict[str, str]:
        """The sending domains and their status. Raises ResendFailedError."""
        found = self._call("domains", resend.Domains.list)
        return {one["name"]: one["status"] for one in found["data"]}

    def _call(self, what: str, call: Callable[[], Any], look: Callable[[], str | None] = lambda: None) -> Any:
        deadline, pause, nothing_sent = time.monotonic() + self._patience, BACKOFF_FIRST, True
        while True:
            self._limiter()
            reason = look()
            if reason is not None:
                raise WithheldError(reason, tried=not nothing_sent)
            self.calls += 1
            try:
                return call()
            except ResendError as error:
                trouble = _Trouble.of(error)
            nothing_sent = nothing_sent and trouble.refused
            if trouble.kind == "invalid_idempotent_request":
                raise ResendConflictError(f"{what}: {trouble}") from None
            if not trouble.transient:
                raise ResendFailedError(f"{what}: {trouble}", nothing_sent=nothing_sent) from None
            wait = max(pause, trouble.wait)
            if trouble.kind in QUOTAS:
                raise ResendQuotaError(f"{what}: {trouble}; given up for now", nothing_sent=nothing_sent) from None
            if time.monotonic() + wait > deadline:
                raise ResendUnavailableError(
                    f"{what}: {trouble}; given up for now", nothing_sent=nothing_sent
                ) from None
            time.sleep(wait)
            pause = min(pause * 2, BACKOFF_MOST)


def _sent(payload: dict[str, Any], key: str) -> str:
    """The id of a mail that Resend has taken. Raises ResendError."""
    answer = resend.Emails.send(cast("resend.Emails.SendParams", payload), {"idempotency_key": key})
    if not answer.get("id"):  # whether it was taken, the same key tells
        raise ResendError(_SERVER, "application_error", "its answer has no id of the mail", "")
    return answer["id"]


def _when(text: str) -> datetime:
    """Resend writes `2024-08-05 11:52:01.858+00` as well as ISO 8601."""
    cleaned = text.strip().replace(" ", "T", 1)
    cleaned = f"{cleaned}:00" if cleaned[-3:-2] in "+-" else cleaned
    instant = datetime.fromisoformat(cleaned)
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)
