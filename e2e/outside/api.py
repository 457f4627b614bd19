"""One service's HTTP API: asked patiently, and never made to show a credential."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import httpx

from e2e.errors import AwayError

if TYPE_CHECKING:
    from collections.abc import Mapping

_TRIES, _FIRST_PAUSE, _MOST_PAUSE = 4, 0.5, 30.0
_AGAIN = frozenset({408, 429, 500, 502, 503, 504, 529})
_SHOWN = 300


class Api:
    """Reads of one service; a read that fails in passing is tried again."""

    def __init__(
        self, name: str, base: str, headers: Mapping[str, str] | None = None, auth: tuple[str, str] | None = None
    ) -> None:
        """`name` is what errors call it; `base` its address without a path of a call."""
        self.name = name
        # A proxy of the environment's would be asked for the sandbox's own addresses too.
        self._client = httpx.Client(base_url=base, headers=headers, auth=auth, timeout=30, trust_env=False)

    def close(self) -> None:
        """End its connections."""
        self._client.close()

    def ask(self, method: str, path: str, body: Any = None, **query: Any) -> Any:
        """The answer to one read, as JSON.

        Raises:
            AwayError: no answer after four tries, one that says no, or one that is not JSON.
        """
        return _json(self._answer(method, path, body, query))

    def _answer(self, method: str, path: str, body: Any, query: dict[str, Any]) -> httpx.Response:
        pause = _FIRST_PAUSE
        for tries_left in reversed(range(_TRIES)):
            try:
                answer = self._client.request(method, path, json=body, params=query or None)
            except httpx.TransportError as error:
                problem = f"{type(error).__name__}: {error}"
            else:
                if answer.is_success:
                    return answer
                problem = f"{answer.status_code} {answer.text[:_SHOWN]}"
                if answer.status_code not in _AGAIN:
                    break
                pause = max(pause, _wanted(answer))
            if tries_left:
                time.sleep(min(pause, _MOST_PAUSE))
                pause *= 2
        raise AwayError(f"{self.name}: {method} {path}: {problem}")


def _json(answer: httpx.Response) -> Any:
    try:
        return answer.json()
    except ValueError:
        raise AwayError(f"{answer.request.url}: answered something that is not JSON") from None


def _wanted(answer: httpx.Response) -> float:
    try:
        return float(answer.headers.get("retry-after", 0))
    except ValueError:
        return 0.0


def moment(text: str | None) -> datetime | None:
    """A moment as any of the services writes it (`2024-08-05 11:52:01.858+00`, ISO 8601), in UTC; None for none."""
    if not text:
        return None
    cleaned = text.strip().replace(" ", "T", 1)
    cleaned = f"{cleaned}:00" if cleaned[-3:-2] in "+-" and "T" in cleaned[:-3] else cleaned
    found = datetime.fromisoformat(cleaned)
    return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
