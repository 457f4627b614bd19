"""The stand-in of Coolify's API is judged by what Coolify itself was recorded to answer."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.deploy.coolify.script import TOKEN, URL, recorded
from tests.deploy.coolify.standin import APP, Standin

if TYPE_CHECKING:
    from collections.abc import Mapping

HERE = f"/applications/{APP}"
SECRET = {"key": "SECRET", "value": "a", "is_literal": True, "is_shown_once": True, "is_buildtime": False}
# The recorded question and case, what was done before it, and what is asked now.
CASES: dict[tuple[str, str], tuple[list[tuple[str, str, Any]], tuple[str, str, Any]]] = {
    ("GET /version", ""): ([], ("GET", "/version", None)),
    ("PATCH /applications/app1", ""): ([], ("PATCH", HERE, {"git_commit_sha": "r2"})),
    ("PATCH /applications/app1", "unknown field"): ([], ("PATCH", HERE, {"nonsense": 1})),
    ("PATCH /applications/app1", "grace too long"): ([], ("PATCH", HERE, {"stop_grace_period": 4000})),
    ("GET /applications/nope", ""): ([], ("GET", "/applications/nope", None)),
    ("POST /deploy", ""): ([], ("POST", "/deploy", None)),
    ("POST /deploy", "one is running"): ([("POST", "/deploy", None)], ("POST", "/deploy", None)),
    ("GET /deployments/phantom", ""): ([], ("GET", "/deployments/phantom", None)),
    ("GET /deployments", ""): ([("POST", "/deploy", None)], ("GET", "/deployments", None)),
    ("GET /deployments/applications/app1", ""): (
        [("POST", "/deploy", None)],
        ("GET", f"/deployments{HERE}", None),
    ),
    ("POST /applications/app1/envs", ""): ([], ("POST", f"{HERE}/envs", SECRET)),
    ("POST /applications/app1/envs", "it exists"): (
        [("POST", f"{HERE}/envs", SECRET)],
        ("POST", f"{HERE}/envs", SECRET),
    ),
    ("PATCH /applications/app1/envs", "a flag is missing"): (
        [("POST", f"{HERE}/envs", SECRET)],
        ("PATCH", f"{HERE}/envs", {"key": "SECRET", "value": "c"}),
    ),
    ("GET /applications/app1/envs", ""): ([("POST", f"{HERE}/envs", SECRET)], ("GET", f"{HERE}/envs", None)),
    ("GET /applications/app1/logs", ""): ([], ("GET", f"{HERE}/logs", None)),
    ("POST /applications/app1/stop", ""): ([], ("POST", f"{HERE}/stop", None)),
    ("GET /servers/srv1/resources", ""): ([], ("GET", "/servers/srv1/resources", None)),
}


def ask(coolify: Standin, method: str, path: str, body: Any, token: str = TOKEN) -> httpx.Response:
    headers = {"Authorization": f"Bearer {token}"}
    return coolify.answer(httpx.Request(method, f"{URL}/api/v1{path}", headers=headers, json=body))


def shape(answer: Any) -> Any:
    """The names in an answer and the kinds of their values; of a list, its first."""
    if isinstance(answer, dict):
        return {key: shape(value) for key, value in answer.items()}
    return [shape(answer[0])] if isinstance(answer, list) and answer else type(answer).__name__


def holds(ours: Any, theirs: Any) -> bool:
    """Whether each name of ours is one of theirs; a flag may be a number, and what is null any kind."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        return all(key in theirs and holds(value, theirs[key]) for key, value in ours.items())
    if isinstance(ours, list) and isinstance(theirs, list):
        return holds(ours[0], theirs[0])
    return ours == theirs or "NoneType" in (ours, theirs) or {str(ours), str(theirs)} == {"bool", "int"}


@pytest.mark.parametrize("case", CASES, ids=" ".join)
def test_answers_as_coolify_did(case: tuple[str, str]) -> None:
    coolify, (before, now) = Standin(), CASES[case]
    for question in before:
        ask(coolify, *question)
    ours, theirs = ask(coolify, *now), recorded(*case)
    assert ours.status_code == theirs.status_code
    if case == ("GET /version", ""):
        assert ours.content == theirs.content
        return
    assert holds(shape(ours.json()), shape(theirs.json())), (ours.json(), theirs.json())
    message(ours.json(), theirs.json())


def message(ours: Any, theirs: Any) -> None:
    """What is said in words is the same."""
    if isinstance(theirs, dict):
        for key in theirs.keys() & {"message", "errors"}:
            assert ours[key] == theirs[key]


TRAPS: Mapping[str, tuple[dict[str, Any], str, str, str, str]] = {
    "no token": ({"tokens": {}}, "GET", "/servers", "GET /servers", "no token"),
    "no read": ({"tokens": {TOKEN: ("write",)}}, "GET", "/servers", "GET /servers", "token without read"),
    "no write": ({"tokens": {TOKEN: ("read",)}}, "PATCH", HERE, "PATCH /applications/app1", "token without write"),
    "API off": ({"api_is_on": False}, "GET", "/servers", "GET /servers", "API off"),
    "queue full": ({"queue_limit": 0}, "POST", "/deploy", "POST /deploy", "queue full"),
}


@pytest.mark.parametrize("trap", TRAPS)
def test_refuses_as_coolify_did(trap: str) -> None:
    fields, method, path, question, case = TRAPS[trap]
    ours, theirs = ask(Standin(**fields), method, path, {}), recorded(question, case)
    assert (ours.status_code, json.loads(ours.content)) == (theirs.status_code, json.loads(theirs.content))
    assert ours.headers.get("Retry-After") == theirs.headers.get("Retry-After")
    assert Standin(**fields).deployments == []
