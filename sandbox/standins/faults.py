"""Misbehaviour on request: which call goes wrong, how, and how often."""

from __future__ import annotations

import asyncio
import random
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

KINDS = frozenset({"refuse", "refuse-html", "saved-but-refused", "slow", "drop-before", "drop-after"})


@dataclass
class Fault:
    """One rule.

    `kind`: `refuse` answers `status` and `code` without doing anything; `refuse-html` the same with an HTML body;
    `saved-but-refused` does it and then answers `status`; `slow` does it and answers after `seconds`; `drop-before` and
    `drop-after` close the connection without an answer, before or after doing it. `times` is how often the rule
    applies (None: always), `probability` how likely at each
    call that matches `method` and `path` (a regular expression).
    """

    kind: str
    method: str = ".*"
    path: str = ".*"
    status: int = 503
    code: str = "service_unavailable"
    seconds: float = 0.0
    times: int | None = 1
    probability: float = 1.0
    headers: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse a kind that nobody implements.

        Raises:
            ValueError: unknown `kind`.
        """
        if self.kind not in KINDS:
            raise ValueError(f"kind: {self.kind!r} is not one of {', '.join(sorted(KINDS))}")


class FaultBook:
    """The rules in force, and a record of the calls that came in."""

    def __init__(self, seed: int = 0) -> None:
        """Start without a rule; `seed` makes the probabilities repeatable."""
        self.rules: list[Fault] = []
        self.calls: list[tuple[str, str]] = []
        self.spoilt = 0
        self._random = random.Random(seed)  # noqa: S311 - repeatable misbehaviour, not cryptography

    def take(self, method: str, path: str) -> Fault | None:
        """The first rule that applies to this call, used up once."""
        for rule in self.rules:
            if rule.times == 0 or not re.fullmatch(rule.method, method) or not re.search(rule.path, path):
                continue
            if self._random.random() >= rule.probability:
                continue
            if rule.times is not None:
                rule.times -= 1
            self.spoilt += 1
            return rule
        return None


class _Dropped(Exception):  # noqa: N818 - a signal to uvicorn, not an error of ours
    """Makes uvicorn close the connection without an answer."""


class Misbehave:
    """ASGI middleware which records each call and lets the book's rules spoil it."""

    def __init__(self, app: ASGIApp, book: FaultBook, error: Any) -> None:
        """Wrap `app`; `error(status, code, message, committed)` builds the service's own error response."""
        self._app, self._book, self._error = app, book, error

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one call, spoilt or not."""
        if scope["type"] != "http" or scope["path"].startswith("/_standin") or scope["path"] == "/":
            await self._app(scope, receive, send)
            return
        method, path = scope["method"], scope["path"]
        self._book.calls.append((method, path))
        rule = self._book.take(method, path)
        if rule is None:
            await self._app(scope, receive, send)
            return
        await self._spoil(rule, scope, receive, send)

    async def _spoil(self, rule: Fault, scope: Scope, receive: Receive, send: Send) -> None:
        if rule.kind == "drop-before":
            await _close(scope, send)
            return
        if rule.kind.startswith("refuse"):
            response = self._error(rule.status, rule.code, "The stand-in was told to refuse this call.", None)
            response.headers.update(rule.headers)
            if rule.kind == "refuse-html":
                response.body = b"<html><body>refused</body></html>"
                response.headers.update({"content-type": "text/html", "content-length": str(len(response.body))})
            await response(scope, receive, send)
            return
        answer = await _captured(self._app, scope, receive)
        await asyncio.sleep(rule.seconds)
        if rule.kind == "drop-after":
            await _close(scope, send)
            return
        if rule.kind == "saved-but-refused" and answer[0]["status"] < 400:  # noqa: PLR2004
            committed = _identity(answer)
            explained = "The stand-in saved this and answers an error."
            response = self._error(rule.status, rule.code, explained, committed)
            await response(scope, receive, send)
            return
        for message in answer:
            await send(message)


async def _captured(app: ASGIApp, scope: Scope, receive: Receive) -> list[Message]:
    messages: list[Message] = []

    async def keep(message: Message) -> None:
        messages.append(message)

    await app(scope, receive, keep)
    return messages


def _identity(messages: list[Message]) -> str | None:
    body = b"".join(m.get("body", b"") for m in messages if m["type"] == "http.response.body")
    found = re.search(rb'"id"\s*:\s*"([0-9a-f-]{36})"', body)
    return found.group(1).decode() if found else None


async def _close(scope: Scope, send: Send) -> None:
    # uvicorn closes the connection when an answer ends short of the length that it declared.
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"10")]})
    await send({"type": "http.response.body", "body": b"", "more_body": True})
    raise _Dropped(scope["path"])
