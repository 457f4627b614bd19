"""An engine's patience with Prefect's API, in place of what Prefect's settings allow; and its last look at its claim.

Prefect's client waits 2, 4, 8 ... 1,024 s, so that an outage of T costs up to 2 T, and its settings do not tell one
request from another. Here:

- While the API is away, every request to it waits, with pauses of a few seconds, for as long as `_AWAY_SECONDS`. That
  goes for logs, too: an engine ends when its last ones have left, and Prefect's client would sleep for half a minute.
- A refusal (401, 403, 500) of what concerns the run itself is waited out as well: a proxy restarts, a credential is
  rotated. While everything else is refused too, that is as if the API were away; a request that is refused alone is
  given up sooner. Any other request of the flow's is repeated for seconds, and then the flow hears of it.
- A flow's requests to other services are its own affair: Prefect's client alone is changed.
- A 500 is no refusal while the server itself says that it is not ready: it answers so without its database.
- Whoever sets PREFECT_CLIENT_MAX_RETRIES is heard: then Prefect's own patience holds.
- A run begins only while the claim is still its worker's, which is looked at in the moment before each attempt to begin
  it. One that was freed, because its worker died or its host was cut off, may have been started elsewhere; one that
  somebody has cancelled, paused or rescheduled is not to be begun.
- Prefect's engine reads its run once more right after it has begun it: what the look and the beginning have told is the
  answer, where nothing else was asked in between.

Imports nothing of this project: `worker.engine_process` also runs it as a script, beside whatever is called `worker`
where the run works.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import re
import runpy
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import httpx
from prefect.client.base import PrefectHttpxAsyncClient, PrefectHttpxSyncClient

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

CLAIM = "HUBLAB_CLAIM"
"""The environment variable with the message of the claim by which the engine was started."""
NOT_MINE = os.EX_TEMPFAIL
"""The exit status of an engine whose run is no longer its worker's."""
_AWAY = {408, 429, 502, 503, 504}
_REFUSED = {401, 403, 500}
_AWAY_SECONDS = 2400.0
_REFUSED_SECONDS = 600.0
_BEGIN_SECONDS = 45.0  # less than it takes until a worker that is cut off is thought gone
_LONGEST_PAUSE = 8.0
_WORTH_TELLING_SECONDS = 5.0
_REFUSALS = 3
_TIMEOUT = {"connect": 5.0, "read": 20.0, "write": 20.0, "pool": 60.0}
_ABOUT_RUN = re.compile(r"/flow_runs/(?P<run>[0-9a-f-]{36})(?P<set>/set_state)?$")


class GivenUpError(httpx.NetworkError):
    """The API was away for too long. No error of those that Prefect's client answers with another minute of its own."""


class Patience:
    """What one engine process knows of the API and of its claim."""

    def __init__(self, run: str, claim: str) -> None:
        """For the engine of this run; without a claim there is nothing to look at."""
        self._run = run
        self._claim = claim
        self._began = time.monotonic()
        self._away_since: float | None = None
        self._told = False
        self._prefects_own = "PREFECT_CLIENT_MAX_RETRIES" in os.environ
        self._looked: dict[str, Any] = {}
        self._as_begun: dict[str, Any] | None = None
        self.begun = not run

    def pause(self, request: httpx.Request, status: int | None, attempt: int, refusals: int = 0) -> float | None:
        """Seconds until the request is sent again; None: the caller hears of it.

        Args:
            request: what was asked.
            status: of the answer; None when there was none.
            attempt: how often it has been sent, from 1.
            refusals: how often of these it was refused, though the API was there.
        """
        now = time.monotonic()
        if self._prefects_own:
            return None
        if status is not None and status not in _AWAY | _REFUSED:
            self._tell(now, "answers again")
            self._away_since = None
            return None
        about_run, _ = self._about(request)
        if status in _REFUSED and not about_run and refusals > _REFUSALS:
            return None
        self._away_since = self._away_since or now
        patience = _AWAY_SECONDS if self.begun else _BEGIN_SECONDS
        if self.begun and status in _REFUSED and status != httpx.codes.INTERNAL_SERVER_ERROR:
            patience = _REFUSED_SECONDS
        since = self._away_since if self.begun else self._began
        if now - since > patience:
            return None
        self._tell(now, f"answers {status}" if status else "cannot be reached")
        return min(2.0 ** min(attempt - 1, 10), _LONGEST_PAUSE) * random.uniform(0.5, 1.0)  # noqa: S311 - to spread

    def given_up(self, error: httpx.TransportError, request: httpx.Request) -> httpx.TransportError:
        """What the caller is told in place of the error of the last attempt."""
        if self._prefects_own:
            return error
        return GivenUpError(f"{type(error).__name__}: {error}", request=request)

    def _tell(self, now: float, what: str) -> None:
        """Once in an outage, and once at its end, in the journal."""
        waits = self._away_since is not None and now - self._away_since > _WORTH_TELLING_SECONDS
        again = what == "answers again"
        if waits and self._told == again:
            self._told = not again
            sys.stderr.write(f"Flow run {self._run}: Prefect's API {what}{'' if again else '; it waits'}\n")
            sys.stderr.flush()

    def concerns(self, request: httpx.Request) -> bool:
        """Whether the request concerns the run itself."""
        return self._about(request)[0]

    def prepare(self, request: httpx.Request) -> httpx.Request | None:
        """Called before a request is sent, each time: the look at the claim that has to come first, if one has."""
        if self._about(request)[0]:
            request.extensions = {
                **request.extensions,
                "timeout": _TIMEOUT,
            }  # an answer that is lost is asked for again
        if not self._claim or not self._begins(request):
            return None
        url = str(request.url).removesuffix("/set_state")
        return httpx.Request("GET", url, headers=_without_content(request), extensions={"timeout": _TIMEOUT})

    def known(self, request: httpx.Request) -> httpx.Response | None:
        """Called once with each request that Prefect's client sends: the answer, where it need not be asked."""
        if request.url.path.endswith("/logs/"):  # a thread's, at any moment
            return None
        known, self._as_begun = self._as_begun, None
        if known is None or request.method != "GET" or not self.concerns(request):
            return None
        return httpx.Response(httpx.codes.OK, json=known, request=request)

    def heard(self, request: httpx.Request, content: bytes, before: httpx.Request | None = None) -> None:
        """Called with each good answer; leaves the process when the run is somebody else's.

        Args:
            request: what was answered.
            content: the answer.
            before: the request that `request` was made for, which would begin the run.
        """
        if self.begun or not self._about(request)[0]:
            return
        if request.method == "GET":
            self._looked = json.loads(content)
            if self._claim and not self._is_mine(self._looked["state"], before):
                sys.stderr.write(f"Flow run {self._run} is no longer this worker's: its engine ends before it begins\n")
                sys.stderr.flush()
                os._exit(NOT_MINE)
        elif self._begins(request):
            answer = json.loads(content)
            self.begun = answer.get("status") == "ACCEPT"
            if self.begun and self._claim:
                self._as_begun = _as_begun(self._looked, answer["state"])

    def _is_mine(self, state: dict[str, Any], before: httpx.Request | None) -> bool:
        if state["type"] == "RUNNING" and before is not None:  # by this engine, whose answer was lost
            asked = json.loads(before.content)["state"]["state_details"]["transition_id"]
            return bool(asked and state["state_details"]["transition_id"] == asked)
        return bool(state["type"] == "PENDING" and state["message"] == self._claim)

    def _about(self, request: httpx.Request) -> tuple[bool, bool]:
        """Whether the request concerns the run itself, and whether it would change its state."""
        found = _ABOUT_RUN.search(request.url.path)
        return bool(found and found["run"] == self._run), bool(found and found["set"])

    def _begins(self, request: httpx.Request) -> bool:
        if self.begun or self._about(request) != (True, True):
            return False
        return bool(json.loads(request.content)["state"]["type"] == "RUNNING")


def _as_begun(run: dict[str, Any], state: dict[str, Any]) -> dict[str, Any] | None:
    """The run as the server has it from its first beginning on; None for a later one, and for one that was suspended.

    Args:
        run: as it was looked at in the moment before.
        state: by which it was begun.
    """
    if run["run_count"] or run["start_time"] or run["empirical_policy"].get("resuming"):
        return None
    named = {f"state_{key}": state[key] for key in ("id", "type", "name")}
    return run | named | {"state": state, "run_count": 1, "start_time": state["timestamp"]}


type _Step = tuple[str, Any]


def _exchange(
    patience: Patience, request: httpx.Request, begins: httpx.Request | None = None
) -> Generator[_Step, Any, httpx.Response]:
    """Everything that one request takes, as steps for either transport: send, read, close, wait."""
    refusals = 0
    for attempt in itertools.count(1):
        if look := patience.prepare(request):
            yield from _exchange(patience, look, request)
        try:
            response: httpx.Response = yield "send", request
            content: bytes = b""
            if patience.concerns(request) or response.status_code == httpx.codes.FORBIDDEN:
                content = yield "read", response
        except httpx.UnsupportedProtocol:
            raise
        except httpx.TransportError as error:
            wait = patience.pause(request, None, attempt)
            if wait is None:
                raise patience.given_up(error, request)  # noqa: B904 - it may be the very same
        else:
            # Prefect's client answers a missing token itself, with a new one.
            token = response.status_code == httpx.codes.FORBIDDEN and b"CSRF" in content
            status = yield from _status(patience, request, response.status_code)
            refusals += status in _REFUSED
            wait = None if token else patience.pause(request, status, attempt, refusals)
            if wait is None:
                if response.is_success:
                    patience.heard(request, content, begins)
                return response
            yield "close", response
        yield "wait", wait
    raise AssertionError("endless")


def _status(patience: Patience, request: httpx.Request, status: int) -> Generator[_Step, Any, int]:
    """The status that an answer means: 503 where the server itself is not ready, or where everything is refused."""
    base, known, _ = str(request.url).partition("/api/")
    refused = status in _REFUSED - {httpx.codes.INTERNAL_SERVER_ERROR} and patience.concerns(request)
    if not known or not (refused or status == httpx.codes.INTERNAL_SERVER_ERROR):
        return status
    # Without its database, the server answers 500 to whatever it is asked, but for this one.
    ask = httpx.Request(
        "GET",
        f"{base}/api/admin/version" if refused else f"{base}/api/ready",
        headers=_without_content(request),
        extensions={"timeout": _TIMEOUT},
    )
    try:
        answer: httpx.Response = yield "send", ask
        yield "close", answer
    except httpx.TransportError:
        return int(httpx.codes.SERVICE_UNAVAILABLE)
    away = answer.status_code in _AWAY | _REFUSED if refused else not answer.is_success
    return int(httpx.codes.SERVICE_UNAVAILABLE) if away else status


def _without_content(request: httpx.Request) -> dict[str, str]:
    return {key: value for key, value in request.headers.items() if not key.startswith("content-")}


class Transport(httpx.BaseTransport):
    """Repeats a request as `Patience` allows."""

    def __init__(self, inner: httpx.BaseTransport, patience: Patience) -> None:
        """Wrap the transport that Prefect's client built."""
        self._inner = inner
        self._patience = patience

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send, and send again."""
        if known := self._patience.known(request):
            return known
        talk = _exchange(self._patience, request)
        try:
            step = next(talk)
            while True:
                try:
                    answer = self._do(*step)
                except httpx.TransportError as error:
                    step = talk.throw(error)
                else:
                    step = talk.send(answer)
        except StopIteration as end:
            response: httpx.Response = end.value
            return response

    def _do(self, what: str, argument: Any) -> Any:
        if what == "send":
            return self._inner.handle_request(argument)
        if what == "wait":
            return time.sleep(argument)
        return argument.read() if what == "read" else argument.close()

    def close(self) -> None:
        """Close the wrapped transport."""
        self._inner.close()


class AsyncTransport(httpx.AsyncBaseTransport):
    """The same for an asynchronous flow."""

    def __init__(self, inner: httpx.AsyncBaseTransport, patience: Patience) -> None:
        """Wrap the transport that Prefect's client built."""
        self._inner = inner
        self._patience = patience

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send, and send again."""
        if known := self._patience.known(request):
            return known
        talk = _exchange(self._patience, request)
        try:
            step = next(talk)
            while True:
                try:
                    answer = await self._do(*step)
                except httpx.TransportError as error:
                    step = talk.throw(error)
                else:
                    step = talk.send(answer)
        except StopIteration as end:
            response: httpx.Response = end.value
            return response

    async def _do(self, what: str, argument: Any) -> Any:
        if what == "send":
            return await self._inner.handle_async_request(argument)
        if what == "wait":
            return await anyio.sleep(argument)
        return await (argument.aread() if what == "read" else argument.aclose())

    async def aclose(self) -> None:
        """Close the wrapped transport."""
        await self._inner.aclose()


def install(run: str = "", claim: str = "") -> None:
    """Give every client of Prefect's API that this process makes the patience, keeping all else that Prefect set up."""
    patience = Patience(run, claim)
    _wrap(PrefectHttpxSyncClient, lambda inner: Transport(inner, patience))
    _wrap(PrefectHttpxAsyncClient, lambda inner: AsyncTransport(inner, patience))


def _wrap(kind: Any, wrapped: Callable[[Any], Any]) -> None:
    plain = kind.__init__

    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        plain(self, *args, **kwargs)
        self._transport = wrapped(self._transport)
        self._mounts = {pattern: transport and wrapped(transport) for pattern, transport in self._mounts.items()}

    kind.__init__ = init


def main() -> None:
    """Be `python -m prefect.engine`, which this file was run in place of, with the run's id as the last argument."""
    install(os.environ.get("PREFECT__FLOW_RUN_ID", ""), os.environ.pop(CLAIM, ""))
    runpy.run_path(str(Path(__file__).with_name("control_line.py")))["redirect"](os.environ)
    if not sys.flags.safe_path:
        sys.path[0] = os.getcwd()  # noqa: PTH109 - as Python itself puts it there
    sys.argv = ["-m"]  # runpy puts the engine's file there
    sys.orig_argv = [sys.executable, "-m", "prefect.engine"]
    runpy.run_module("prefect.engine", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
