"""Which answers are waited out, and which are passed on."""

from __future__ import annotations

from types import SimpleNamespace

import httpx
import pytest

from worker import patience
from worker.patience import ApiHealth, PatientTransport


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "_waits", lambda: iter([0.0] * 20))


async def ask(*answers: httpx.Response | Exception) -> tuple[httpx.Response, ApiHealth, list[bytes]]:
    left, bodies = list(answers), []

    def answer(request: httpx.Request) -> httpx.Response:
        bodies.append(request.content)
        found = left.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    health = ApiHealth()
    async with httpx.AsyncClient(transport=PatientTransport(httpx.MockTransport(answer), health)) as client:
        response = await client.post("http://prefect.example.com/api", json={"a": 1})
    assert not left
    return response, health, bodies


@pytest.mark.parametrize("status", [401, 403, 408, 429, 500, 502, 503, 504])
async def test_passing_trouble_is_waited_out(at_once: None, status: int) -> None:
    response, health, bodies = await ask(*[httpx.Response(status) for _ in range(15)], httpx.Response(201))
    assert response.status_code == 201
    assert health.describe() is None
    assert health.last_problem_at > 0
    assert set(bodies) == {b'{"a":1}'}


@pytest.mark.parametrize("error", [httpx.ConnectError("x"), httpx.ReadTimeout("x"), httpx.RemoteProtocolError("x")])
async def test_broken_connection_is_waited_out(at_once: None, error: Exception) -> None:
    response, _, _ = await ask(*[error] * 15, httpx.Response(200))
    assert response.status_code == 200


@pytest.mark.parametrize("status", [200, 404, 409, 422])
async def test_answer_that_means_something_is_passed_on(at_once: None, status: int) -> None:
    response, health, bodies = await ask(httpx.Response(status))
    assert (response.status_code, len(bodies), health.describe()) == (status, 1, None)


async def test_csrf_refusal_is_left_to_prefects_client(at_once: None) -> None:
    response, _, _ = await ask(httpx.Response(403, text="Invalid CSRF token"))
    assert response.status_code == 403
    assert response.text == "Invalid CSRF token"


class Clock:
    """The time of the day that a test sets, in seconds; 14:03:10 at first."""

    def __init__(self) -> None:
        self.now = 50_590.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr("worker.patience.time.time", lambda: found.now)
    return found


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]


def test_what_is_wrong_is_described_since_when_it_began(clock: Clock) -> None:
    health = ApiHealth()
    assert (health.problem, health.since, health.answers) == (None, 0.0, 0)
    assert health.last_problem_at == float("-inf")
    health.failed("answers 503")
    clock.now += 60
    health.failed("unreachable (ConnectError)")
    assert health.describe() == "API unreachable (ConnectError) since 14:03:10Z"
    health.answered()
    assert (health.problem, health.answers, health.describe()) == (None, 1, None)
    health.failed("answers 502")
    assert health.describe() == "API answers 502 since 14:04:10Z"


def test_operator_is_told_once_after_five_seconds_and_when_it_answers_again(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("WARNING", logger="prefect.hublab")
    health = ApiHealth()
    for seconds in (0.0, 5.0):
        health.failed("answers 503")
        clock.now += seconds
    assert warnings(caplog) == []
    clock.now += 1
    health.failed("answers 502")
    health.failed("answers 502")
    assert warnings(caplog) == [
        "Prefect's API answers 502; runs in flight go on, nothing new is started until it answers"
    ]
    clock.now += 60
    health.answered()
    health.answered()
    assert warnings(caplog)[1:] == ["Prefect's API answers again, after 66 s (answers 502)"]
    health.failed("answers 503")
    clock.now += 6
    health.failed("answers 503")
    assert len(warnings(caplog)) == 3


def test_trouble_that_passes_within_five_seconds_is_not_told(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("WARNING", logger="prefect.hublab")
    health = ApiHealth()
    health.failed("answers 503")
    clock.now += 4
    health.answered()
    assert warnings(caplog) == []


def test_refused_request_is_shown_for_a_minute_or_until_it_is_answered(clock: Clock) -> None:
    health = ApiHealth()
    assert health.describe_refused() is None
    health.refused("PATCH /a", "answers 403")
    clock.now += 30
    health.refused("PATCH /a", "answers 401")
    health.refused("GET /b", "answers 500")
    assert health.describe_refused() == "PATCH /a answers 401 since 14:03:10Z, and 1 more"
    health.answered("PATCH /a")
    assert health.describe_refused() == "GET /b answers 500 since 14:03:40Z"
    clock.now += 59
    assert health.describe_refused()
    clock.now += 1
    assert health.describe_refused() is None


class Refusing:
    """An API that answers one request with 500 for as often as it is told, and others meanwhile."""

    def __init__(self, health: ApiHealth, times: int, *, others: bool = True) -> None:
        self.health, self.left, self.others = health, times, others

    async def __call__(self, _: httpx.Request) -> httpx.Response:
        if not self.left:
            return httpx.Response(200)
        self.left -= 1
        if self.others:
            self.health.answered("GET /other")
        return httpx.Response(500)


async def put(health: ApiHealth, api: Refusing) -> int:
    transport = PatientTransport(httpx.MockTransport(api), health)
    async with httpx.AsyncClient(transport=transport, base_url="http://prefect.example.com") as client:
        return (await client.put("/api/a")).status_code


async def test_request_that_alone_is_refused_fourteen_times_is_given_up(at_once: None) -> None:
    health = ApiHealth()
    assert await put(health, Refusing(health, 13)) == 200
    assert health.describe_refused() is None
    with pytest.raises(
        patience.RefusedError, match=r"^PUT /api/a answers 500, 14 times while other requests were answered$"
    ):
        await put(health, Refusing(health, 14))
    assert str(health.describe_refused()).startswith("PUT /api/a answers 500 since ")
    assert health.describe() is None, "the API is not away"


async def test_api_that_answers_nothing_is_away_and_refuses_nobody(at_once: None) -> None:
    health = ApiHealth()
    told = []

    async def answer(_: httpx.Request) -> httpx.Response:
        told.append((health.describe(), health.describe_refused()))
        if len(told) < 4:
            raise httpx.ConnectError("x")
        return httpx.Response(200)

    async with httpx.AsyncClient(transport=PatientTransport(httpx.MockTransport(answer), health)) as client:
        await client.get("http://prefect.example.com/api")
    assert [str(problem).partition(" since")[0] for problem, _ in told] == [
        "None",
        *["API unreachable (ConnectError)"] * 3,
    ]
    assert {refused for _, refused in told} == {None}


async def test_what_no_wait_can_mend_is_raised(at_once: None) -> None:
    async with httpx.AsyncClient(transport=PatientTransport(httpx.AsyncHTTPTransport(), ApiHealth())) as client:
        with pytest.raises(httpx.UnsupportedProtocol):
            await client.get("prefect://example.com")


@pytest.mark.parametrize(("drawn", "share"), [(0.5, 0.5), (1.0, 1.0)])
def test_pauses_grow_to_six_seconds_and_are_between_half_and_whole(
    monkeypatch: pytest.MonkeyPatch, drawn: float, share: float
) -> None:
    bounds = []

    def uniform(low: float, high: float) -> float:
        bounds.append((low, high))
        return drawn

    monkeypatch.setattr("worker.patience.random.uniform", uniform)
    waits = patience._waits()
    assert [next(waits) for _ in range(7)] == [share * pause for pause in (0.5, 1, 2, 4, 6, 6, 6)]
    assert set(bounds) == {(0.5, 1.0)}


async def test_prefects_client_becomes_patient_on_every_way_and_keeps_what_it_had() -> None:
    inner, proxied, health = httpx.AsyncHTTPTransport(), httpx.AsyncHTTPTransport(), ApiHealth()
    http = httpx.AsyncClient(transport=inner, mounts={"https://": proxied, "all://local": None})
    patience.make_patient(SimpleNamespace(_client=http), health)  # type: ignore[arg-type]
    ways = {pattern.pattern: transport for pattern, transport in http._mounts.items()}
    assert ways.pop("all://local") is None
    for transport, wrapped in ((http._transport, inner), (ways.pop("https://"), proxied)):
        assert isinstance(transport, PatientTransport)
        assert (transport._inner, transport._health) == (wrapped, health)
    assert ways == {}
    assert http.timeout == httpx.Timeout(15, connect=5)
    await http.aclose()
