"""Which answers are waited out, and which are passed on."""

from __future__ import annotations

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
