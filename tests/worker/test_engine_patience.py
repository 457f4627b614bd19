"""What an engine waits out, for how long, and what its flow hears of; and that it begins only a run that is its own."""

from __future__ import annotations

import inspect
import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prefect.client.base import PrefectHttpxAsyncClient, PrefectHttpxSyncClient

from worker import engine_patience
from worker.engine_patience import Patience, Transport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

RUN, OTHER = "11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222"
API = "http://prefect.example.com/api"
AWAY = [None, 408, 429, 502, 503, 504]
REFUSED = [401, 403, 500]


def about_run() -> httpx.Request:
    return httpx.Request("POST", f"{API}/flow_runs/{RUN}/set_state", json={"state": {"type": "COMPLETED"}})


def flows_own(path: str = "/variables/") -> httpx.Request:
    return httpx.Request("POST", f"{API}{path}", json={})


@given(st.integers(1, 2000), st.sampled_from(AWAY), st.sampled_from(["/variables/", "/logs/"]))
def test_pauses_are_short_however_long_the_api_is_away(attempt: int, status: int | None, path: str) -> None:
    """Of logs, too: an engine's process does not end before they have left, and its place is taken until then."""
    patience = Patience("", "")
    pause = patience.pause(flows_own(path), status, attempt)
    assert pause is not None
    assert 0 < pause <= 8


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])

    def passes(seconds: float) -> None:
        now[0] += seconds

    return passes


@pytest.mark.parametrize("status", AWAY)
def test_outage_of_25_minutes_is_waited_out_and_one_of_hours_is_not(
    clock: Callable[[float], None], status: int | None
) -> None:
    patience = Patience("", "")
    assert patience.pause(flows_own(), status, 1) is not None
    clock(25 * 60)
    assert patience.pause(flows_own(), status, 200) is not None
    clock(60 * 60)
    assert patience.pause(flows_own(), status, 400) is None


@pytest.mark.parametrize("status", REFUSED)
def test_flow_hears_of_its_own_refused_call_and_the_runs_own_is_waited_out(status: int) -> None:
    patience = Patience(RUN, "")
    patience.begun = True
    heard = [patience.pause(flows_own(), status, 50 + times, times) is None for times in range(1, 6)]
    assert heard == [False] * 3 + [True] * 2
    other = httpx.Request("POST", f"{API}/flow_runs/{OTHER}/set_state", json={"state": {"type": "CANCELLING"}})
    assert patience.pause(other, status, 4, 4) is None
    assert patience.pause(about_run(), status, 100) is not None


@pytest.mark.parametrize("status", [200, 201, 204, 404, 409, 422, 423])
def test_answer_that_means_something_is_passed_on(status: int) -> None:
    assert Patience("", "").pause(flows_own(), status, 1) is None


def test_before_it_has_begun_it_gives_up_sooner_than_its_worker_is_thought_gone(clock: Callable[[float], None]) -> None:
    patience = Patience(RUN, "claim")
    assert patience.pause(about_run(), None, 1) is not None
    clock(46)
    assert patience.pause(about_run(), None, 9) is None


def state_of(kind: str, message: str = "", transition: str | None = None) -> dict[str, Any]:
    state = {"type": kind, "message": message, "state_details": {"transition_id": transition}}
    return {"state": state, "run_count": 0, "start_time": None, "empirical_policy": {}, "parameters": {"a": 1}}


class Left(BaseException):
    """The process would have ended."""


def begin(monkeypatch: pytest.MonkeyPatch, *answers: dict[str, Any] | int | None) -> tuple[list[str], Patience]:
    """Read the run and begin it, as an engine does, against a server that answers so. None: no answer."""
    left, asked = iter(answers), []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(f"{request.method} {request.url.path.rpartition('/')[2].replace(RUN, 'run')}")
        found = next(left)
        if found is None:
            raise httpx.ReadError("cut")
        return httpx.Response(found) if isinstance(found, int) else httpx.Response(200, json=found)

    def leave(status: int) -> None:
        asked.append(f"left {status}")
        raise Left

    monkeypatch.setattr("os._exit", leave)
    monkeypatch.setattr(time, "sleep", lambda _: None)
    patience = Patience(RUN, "mine")
    with httpx.Client(transport=Transport(httpx.MockTransport(answer), patience), base_url=API) as client:
        proposed = {"state": {"type": "RUNNING", "state_details": {"transition_id": "t-1"}}}
        try:
            client.get(f"/flow_runs/{RUN}")
            client.post(f"/flow_runs/{RUN}/set_state", json=proposed)
        except (Left, httpx.TransportError):
            pass
    return asked, patience


BEGUN = {"id": "s-1", "type": "RUNNING", "name": "Running", "timestamp": "2026-07-01T12:00:00Z"}
ACCEPT = {"status": "ACCEPT", "state": BEGUN}


def test_begins_what_is_still_its_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    mine = state_of("PENDING", "mine")
    asked, patience = begin(monkeypatch, mine, mine, ACCEPT)
    assert asked == ["GET run", "GET run", "POST set_state"]
    assert patience.begun


@pytest.mark.parametrize(
    "theirs",
    [
        state_of("PENDING", "theirs"),
        state_of("RUNNING", transition="t-2"),
        *(state_of(kind) for kind in ("SCHEDULED", "PAUSED", "CANCELLING", "CANCELLED", "COMPLETED", "CRASHED")),
    ],
    ids=str,
)
def test_leaves_what_was_freed_or_touched_meanwhile(monkeypatch: pytest.MonkeyPatch, theirs: dict[str, Any]) -> None:
    assert begin(monkeypatch, theirs)[0] == ["GET run", "left 75"]
    mine = state_of("PENDING", "mine")
    assert begin(monkeypatch, mine, theirs)[0] == ["GET run", "GET run", "left 75"]
    # Cut off between the look and the step: it looks again.
    assert begin(monkeypatch, mine, mine, None, theirs)[0][-2:] == ["GET run", "left 75"]


def test_knows_its_own_beginning_whose_answer_was_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    mine, begun = state_of("PENDING", "mine"), state_of("RUNNING", transition="t-1")
    asked, patience = begin(monkeypatch, mine, mine, None, begun, ACCEPT)
    assert asked[-2:] == ["GET run", "POST set_state"]
    assert patience.begun


def asked_after(look: dict[str, Any], *between: str) -> tuple[int, dict[str, Any]]:
    """Begin the run, ask this in between, and read the run: how often that was asked, and the answer."""
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.method + request.url.path.removeprefix(f"/api/flow_runs/{RUN}"))
        found = ACCEPT if request.method == "POST" else look if len(asked) == 1 else {"of": "the server"}
        return httpx.Response(200, json=found)

    with httpx.Client(transport=Transport(httpx.MockTransport(answer), Patience(RUN, "mine")), base_url=API) as client:
        client.post(f"/flow_runs/{RUN}/set_state", json={"state": {"type": "RUNNING", "state_details": {}}})
        for path in between:
            client.post(path, json={})
        found = client.get(f"/flow_runs/{RUN}").json()
        assert client.get(f"/flow_runs/{RUN}").json() == {"of": "the server"}
    return asked.count("GET") - 2, found


def test_run_is_not_read_once_more_in_the_moment_after_it_has_begun() -> None:
    mine = state_of("PENDING", "mine")
    begun: dict[str, Any] = {"state": BEGUN, "state_id": "s-1", "state_type": "RUNNING", "state_name": "Running"}
    begun |= {"run_count": 1, "start_time": BEGUN["timestamp"]}
    for between in ([], ["/logs/"]):
        assert asked_after(mine, *between) == (0, mine | begun)


@pytest.mark.parametrize(
    "known", [{"run_count": 1}, {"start_time": "2026-07-01T11:00:00Z"}, {"empirical_policy": {"resuming": True}}]
)
def test_run_that_has_begun_before_is_read(known: dict[str, Any]) -> None:
    assert asked_after(state_of("PENDING", "mine") | known) == (1, {"of": "the server"})


def test_run_is_read_when_anything_else_was_asked_since() -> None:
    assert asked_after(state_of("PENDING", "mine"), f"/flow_runs/{RUN}/labels") == (1, {"of": "the server"})


@pytest.mark.parametrize(("database", "asked"), [(503, 20), (200, 4)])
def test_500_is_waited_out_while_the_database_is_away_and_heard_of_when_it_is_not(
    monkeypatch: pytest.MonkeyPatch, database: int, asked: int
) -> None:
    calls: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        calls.append(request.url.path)
        if request.url.path == "/api/ready":
            return httpx.Response(database)
        return httpx.Response(500 if calls.count("/api/variables/") < 20 else 201)

    monkeypatch.setattr(time, "sleep", lambda _: None)
    with httpx.Client(transport=Transport(httpx.MockTransport(answer), Patience("", "")), base_url=API) as client:
        status = client.post("/variables/", json={}).status_code
    assert calls.count("/api/variables/") == asked
    assert status == (500 if database == 200 else 201)


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize(("others", "minutes"), [(401, 40), (503, 40), (None, 40), (200, 10), (404, 10)])
def test_what_is_refused_alone_is_given_up_sooner_than_what_is_refused_with_all_else(
    monkeypatch: pytest.MonkeyPatch, status: int, others: int | None, minutes: int
) -> None:
    """Behind a proxy that refuses everybody, a run that has ended could not say so after ten minutes, and crashed."""
    now, credentials = [1000.0], set()

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path != "/api/admin/version":
            return httpx.Response(status)
        credentials.add(request.headers["authorization"])
        if others is None:
            raise httpx.ConnectError("away")
        return httpx.Response(others)

    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(time, "sleep", lambda seconds: now.append(now.pop() + seconds))
    patience = Patience(RUN, "")
    patience.begun = True
    with httpx.Client(transport=Transport(httpx.MockTransport(answer), patience), auth=("a", "b")) as client:
        about = about_run()
        assert client.send(about).status_code == status
    assert minutes * 60 < now[0] - 1000 < minutes * 60 + 20
    assert credentials == {about.headers.get("authorization") or httpx.BasicAuth("a", "b")._auth_header}


@pytest.fixture
def _installed() -> Iterator[None]:
    engine_patience.install()
    yield
    clients: tuple[Any, ...] = (PrefectHttpxSyncClient, PrefectHttpxAsyncClient)
    for kind in clients:
        kind.__init__ = inspect.getclosurevars(kind.__init__).nonlocals["plain"]


@pytest.mark.usefixtures("_installed")
def test_other_services_are_asked_as_ever() -> None:
    """Prefect's client alone is changed: httpx itself, which a flow uses for all else, is as it was."""
    with httpx.Client() as client:
        assert type(client._transport) is httpx.HTTPTransport
    with PrefectHttpxSyncClient() as ours:
        assert type(ours._transport) is Transport


@pytest.mark.usefixtures("_installed")
def test_what_is_given_up_is_not_begun_anew_by_prefects_client(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would repeat everything five times more, with pauses of 2 to 32 s."""
    now = [1000.0]

    def away(_: httpx.Request) -> httpx.Response:
        raise httpx.ReadError("away")

    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(time, "sleep", lambda seconds: now.append(now.pop() + seconds))
    client = PrefectHttpxSyncClient(base_url=API, transport=httpx.MockTransport(away))
    with client, pytest.raises(httpx.NetworkError, match="ReadError: away"):
        client.get("/variables/")
    assert 2400 < now[0] - 1000 < 2420
