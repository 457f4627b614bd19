"""An HTTP client for Prefect's API that waits for an API which is away, instead of giving up and losing its runs.

Prefect's own client retries for about a minute, and not at all on 401, 403 or 500; then the worker's loops raise, and
with them go the flow runs that they own.
"""

from __future__ import annotations

import itertools
import logging
import random
import time
from typing import TYPE_CHECKING, Any

import anyio
import httpx

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from prefect.client.orchestration import PrefectClient

_log = logging.getLogger("prefect.hublab")

# 401 and 403 too: a proxy that restarts, or a credential that is being rotated, answers them for a while.
_PASSING = {401, 403, 408, 429}
_SERVER_ERROR = 500
# 25 minutes away must not mean 25 more until the worker looks again, hence the low ceiling.
_LONGEST_WAIT = 6.0
_WORTH_TELLING_SECONDS = 5.0
_REFUSED_AFTER = 14
"""Failed attempts at one request, each after others were answered: about a minute, so that it is no passing trouble."""
_REFUSAL_SHOWN_SECONDS = 60.0
_TIMEOUT = httpx.Timeout(15, connect=5)


class RefusedError(httpx.HTTPError):
    """One request keeps failing while others are answered. Prefect's client does not repeat it once more."""


class ApiHealth:
    """What the worker knows about the API: is it answering, and if not, what is wrong since when."""

    def __init__(self) -> None:
        """Begin without knowledge."""
        self.problem: str | None = None
        self.since = 0.0
        self._told = False
        self.last_problem_at = float("-inf")
        """`time.monotonic()` of the last failed attempt."""
        self.answers = 0
        """How many requests got an answer that can be used."""
        self._refused: dict[str, tuple[str, float, float]] = {}  # by request: what is wrong, since when, seen last

    def answered(self, request: str = "") -> None:
        """A request got an answer that can be used."""
        self.answers += 1
        self._refused.pop(request, None)
        if self._told:
            _log.warning("Prefect's API answers again, after %.0f s (%s)", time.time() - self.since, self.problem)
        self.problem, self._told = None, False

    def failed(self, problem: str) -> None:
        """An attempt came to nothing."""
        if not self.problem:
            self.since = time.time()
        if not self._told and time.time() - self.since > _WORTH_TELLING_SECONDS:
            self._told = True
            _log.warning("Prefect's API %s; runs in flight go on, nothing new is started until it answers", problem)
        self.problem = problem
        self.last_problem_at = time.monotonic()

    def refused(self, request: str, problem: str) -> None:
        """An attempt at this request came to nothing, while others were answered."""
        now = time.time()
        since = self._refused.get(request, (problem, now, now))[1]
        self._refused[request] = (problem, since, now)

    def describe_refused(self) -> str | None:
        """Such as "PATCH /api/flow_runs/…/labels answers 403 since 14:03:10Z"; None when no request is refused."""
        recent = time.time() - _REFUSAL_SHOWN_SECONDS
        told = [
            f"{request} {problem} since {_clock(since)}"
            for request, (problem, since, last) in self._refused.items()
            if last > recent
        ]
        return told[0] + (f", and {len(told) - 1} more" if len(told) > 1 else "") if told else None

    def describe(self) -> str | None:
        """Such as "API answers 503 since 14:03:10Z"; None when all is well."""
        if not self.problem:
            return None
        return f"API {self.problem} since {_clock(self.since)}"


class PatientTransport(httpx.AsyncBaseTransport):
    """Repeats a request until it is answered. Whoever cannot wait puts a limit around the call.

    While the API answers other requests it is not away: then this one is refused, and its caller is told so in the end.
    """

    def __init__(
        self, inner: httpx.AsyncBaseTransport, health: ApiHealth, wants_token: Callable[[], None] = lambda: None
    ) -> None:
        """Wrap the transport that Prefect built, with its TLS and proxy settings.

        `wants_token` is called when the server refuses a request because it has no CSRF token.
        """
        self._inner = inner
        self._health = health
        self._wants_token = wants_token

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send, and send again. A repeated state change is safe: Prefect gives each one a transition id."""
        what, alone, answers = f"{request.method} {request.url.path}", 0, self._health.answers
        for wait in _waits():
            try:
                response = await self._inner.handle_async_request(request)
            except httpx.UnsupportedProtocol:
                raise
            except httpx.TransportError as error:
                problem = f"unreachable ({type(error).__name__})"
            else:
                if not await self._passing(response):
                    self._health.answered(what)
                    return response
                await response.aclose()
                problem = f"answers {response.status_code}"
            if self._health.answers > answers:  # others were answered since the last attempt
                alone, answers = alone + 1, self._health.answers
                self._health.refused(what, problem)
            else:
                self._health.failed(problem)
            if alone == _REFUSED_AFTER:
                raise RefusedError(f"{what} {problem}, {alone} times while other requests were answered")
            await anyio.sleep(wait)
        raise AssertionError("endless")

    async def _passing(self, response: httpx.Response) -> bool:
        if response.status_code == httpx.codes.FORBIDDEN and b"CSRF" in await response.aread():
            self._wants_token()  # Prefect's client has a new one then: at once, or with its next request
            return False
        return response.status_code in _PASSING or response.status_code >= _SERVER_ERROR

    async def aclose(self) -> None:
        """Close the wrapped transport."""
        await self._inner.aclose()


def make_patient(client: PrefectClient, health: ApiHealth) -> None:
    """Give Prefect's client the patience, keeping all else that Prefect set up."""
    http: Any = client._client  # noqa: SLF001 - see tests/worker/test_prefect_internals.py

    def wants_token() -> None:
        http.enable_csrf_support = True  # its server had none, and was started anew

    http._transport = PatientTransport(http._transport, health, wants_token)  # noqa: SLF001
    http._mounts = {  # noqa: SLF001
        pattern: transport and PatientTransport(transport, health, wants_token)
        for pattern, transport in http._mounts.items()  # noqa: SLF001
    }
    http.timeout = _TIMEOUT


def _clock(instant: float) -> str:
    return time.strftime("%H:%M:%SZ", time.gmtime(instant))


def _waits() -> Iterator[float]:
    """Pauses that no two workers share: a server that comes back must not meet all of them at once."""
    for pause in itertools.chain((0.5, 1.0, 2.0, 4.0), itertools.repeat(_LONGEST_WAIT)):
        yield pause * random.uniform(0.5, 1.0)  # noqa: S311 - to spread
