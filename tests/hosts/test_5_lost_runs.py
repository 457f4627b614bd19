"""Runs that are lost or crash: real workers at a real Prefect server, real kills."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sandbox import runs
from sandbox.past import FLOWS
from sandbox.waiting import wait_for
from worker.recovery import MOST_TIMES, TAG

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

    from sandbox import Machine, Sandbox
    from sandbox.operator import Operator


@pytest.fixture
def api(deployed: Operator, sandbox: Sandbox) -> Iterator[httpx.Client]:
    """Prefect; the runs that a test has begun go with it, for `./hublab status` names each that is lost or given up."""
    with sandbox.api() as client:
        yield client
        for run in _begun:
            client.delete(f"/flow_runs/{run}").raise_for_status()
        _begun.clear()


_begun: list[str] = []


def begin(api: httpx.Client, flow: str, *tags: str, **parameters: float) -> str:
    """A run with these tags; a deployment would hand its own down."""
    deployment = runs.register(api, f"flows.py:{flow}", directory=str(FLOWS))
    _begun.append(runs.start(api, deployment, parameters, tags=tags))
    return _begun[-1]


def history(api: httpx.Client, run: str) -> list[str]:
    """What it has been, in order, but for its claims."""
    found = api.get("/flow_run_states/", params={"flow_run_id": run}).raise_for_status().json()
    return [state["name"] for state in found if state["name"] not in {"Pending", "Late"}]


def await_name(api: httpx.Client, run: str, name: str, *, timeout: float) -> runs.RunState:
    """Its state, as soon as it is called so."""
    wait_for(lambda: runs.state(api, run).name == name, lambda: f"{name}; it was {history(api, run)}", timeout, every=1)
    return runs.state(api, run)


@pytest.mark.timeout(900)
def test_a_lost_run_is_run_again_once_and_only_if_it_may_be(api: httpx.Client, machine: Machine) -> None:
    again, once = begin(api, "nap", TAG, seconds=30), begin(api, "nap", seconds=30)
    for run in (again, once):
        runs.await_state(api, run, {"RUNNING"})
    machine.ssh("systemctl kill --kill-whom=all --signal=KILL 'prefect-worker@*'")
    await_name(api, again, "Completed", timeout=240)
    await_name(api, once, "Lost", timeout=60)
    assert history(api, again) == ["Scheduled", "Running", "Lost", "RunAgain", "Running", "Completed"]
    assert history(api, once) == ["Scheduled", "Running", "Lost"]


@pytest.mark.timeout(900)
def test_a_run_that_crashes_each_time_ends_after_the_bound_and_says_why(api: httpx.Client) -> None:
    run, once = begin(api, "boom", TAG), begin(api, "boom")
    state = await_name(api, run, "GaveUp", timeout=600)
    assert state.type == "CRASHED"
    assert f"{MOST_TIMES} times within 24 h" in state.message
    every = history(api, run)
    assert every == [
        "Scheduled",
        *["Running", "Crashed", "RunAgain"] * (MOST_TIMES - 1),
        "Running",
        "Crashed",
        "GaveUp",
    ]
    found = api.get("/flow_run_states/", params={"flow_run_id": run}).raise_for_status().json()
    assert all("-9" in one["message"] for one in found if one["name"] == "Crashed")
    assert history(api, once) == ["Scheduled", "Running", "Crashed"]
