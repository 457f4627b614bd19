"""A power cut in the midst of a deploy: its lost flow runs are found, and run again where that is allowed."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from sandbox import runs
from sandbox.past import FLOWS
from tests.hosts.faults import MOMENTS, Struck, cut_power
from tests.hosts.load import STUCK, completes, impatient
from tests.hosts.test_5_rollback import left_behind
from worker.process_worker import SUBMITTING

if TYPE_CHECKING:
    import httpx

    from sandbox import Machine, Sandbox
    from tests.hosts.conftest import Operator


LONG = """
import time
from prefect import flow
from prefect.flow_runs import pause_flow_run

@flow
def inner(seconds):
    time.sleep(seconds)

@flow
def outer(seconds):
    inner(seconds)

@flow
def waits(seconds):
    pause_flow_run(timeout=seconds * 100)
"""


def create(api: httpx.Client, entrypoint: str, *tags: str, after_seconds: float = 0) -> str:
    """A run, with no tags but these: it inherits its deployment's."""
    deployment = runs.register(api, entrypoint, directory=str(FLOWS))
    api.patch(f"/deployments/{deployment}", json={"tags": []}).raise_for_status()
    moment = (datetime.now(UTC) + timedelta(seconds=after_seconds)).isoformat()
    scheduled = {"type": "SCHEDULED", "state_details": {"scheduled_time": moment}}
    body = {"parameters": {"seconds": 40.0}, "state": scheduled, "tags": list(tags)}
    answer = api.post(f"/deployments/{deployment}/create_flow_run", json=body).raise_for_status()
    return str(answer.json()["id"])


def unended(api: httpx.Client) -> list[tuple[str, str]]:
    """Name and state of every flow run that has begun or is to begin, sub-flows included."""
    body = {"flow_runs": {"state": {"type": {"not_any_": sorted(runs.TERMINAL)}}}}
    found = api.post("/flow_runs/filter", json=body).raise_for_status().json()
    return [(run["name"], run["state_name"]) for run in found]


def heard(api: httpx.Client, run: str) -> bool:
    """Whether the server has a heartbeat of the run."""
    body = {
        "filter": {
            "event": {"name": ["prefect.flow-run.heartbeat"]},
            "resource": {"id": [f"prefect.flow-run.{run}"]},
        }
    }
    return bool(api.post("/events/filter", json=body).raise_for_status().json()["events"])


@pytest.mark.faults
@pytest.mark.timeout(900)
def test_power_cut_in_the_midst_of_a_deploy(deployed: Operator, sandbox: Sandbox, machine: Machine) -> None:
    machine.put(f"{FLOWS}/long.py", LONG)
    with sandbox.api() as api:
        again, nested = create(api, "flows.py:nap", "run-again"), create(api, "long.py:outer", "run-again")
        once, paused = create(api, "flows.py:nap"), create(api, "long.py:waits")
        for run in (again, nested, once):
            runs.await_state(api, run, {"RUNNING"})
        runs.await_state(api, paused, {"PAUSED"})
        deadline = time.monotonic() + 60
        while not all(heard(api, run) for run in (again, nested, once, paused)):
            assert time.monotonic() < deadline, "no heartbeat reached the server"
            time.sleep(1)
        struck = Struck(deployed, HUBLAB_CONCURRENCY="11")
        struck.until(*MOMENTS["activate"])
        cut_power(machine)
        assert struck.end().status != 0
        result = deployed.deploy(HUBLAB_CONCURRENCY="11")
        assert result.status == 0, result.text
        assert left_behind(machine) == ""
        for run in (again, nested):
            assert completes(api, run, timeout=400), runs.state(api, run)
            assert api.get(f"/flow_runs/{run}").json()["run_count"] == 2
        for run in (once, paused):
            lost = runs.await_state(api, run, timeout=400)
            assert (lost.type, lost.name) == ("CRASHED", "Lost")
        deadline = time.monotonic() + 120
        while left := unended(api):
            assert time.monotonic() < deadline, f"left as if they ran: {left}"
            time.sleep(2)


@pytest.mark.faults
def test_run_that_was_claimed_by_a_dead_worker_is_freed(deployed: Operator, sandbox: Sandbox) -> None:
    """With less patience than in earnest, so that nobody has to wait for minutes; the next deploy puts that right."""
    with sandbox.api() as api:
        impatient(api, STUCK, 60, description="impatient")
        # Due in an hour, so that no worker takes it; claimed, as by one that died before it began.
        run = create(api, "flows.py:nap", after_seconds=3600)
        set_state(api, run, "PENDING", "Pending")
        assert runs.state(api, run).type == "PENDING"
        assert completes(api, run, timeout=240), runs.state(api, run)
    assert f"plan: automation '{STUCK}' will be set" in deployed.plan().text
    result = deployed.deploy()
    assert result.status == 0, result.text
    assert "plan: nothing to do" in deployed.plan().text


@pytest.mark.faults
@pytest.mark.timeout(300)
def test_run_that_dies_before_its_first_heartbeat_is_found(deployed: Operator, sandbox: Sandbox) -> None:
    """Set by hand to where each was when its host died, so that nobody has to hit a moment of milliseconds."""
    with sandbox.api() as api:
        for what in ("runs", "sub-flows"):
            impatient(api, f"hublab: mark lost {what} that were never heard", 20, description="impatient")
        ours, others = (create(api, "flows.py:nap", after_seconds=3600) for _ in range(2))
        set_state(api, ours, "PENDING", "Pending", SUBMITTING)
        set_state(api, others, "PENDING", "Pending", "Submitting")
        inside = begin_inside(api, of=others)
        for run in (ours, others, inside):
            set_state(api, run, "RUNNING", "Running")
        for run in (ours, inside):
            assert runs.await_state(api, run, timeout=120).name == "Lost"
        # Another worker's run may be silent and well: nobody has asked it for heartbeats.
        assert runs.state(api, others).type == "RUNNING"
        set_state(api, others, "CANCELLED", "Cancelled")
    result = deployed.deploy()
    assert result.status == 0, result.text
    assert "plan: nothing to do" in deployed.plan().text


def set_state(api: httpx.Client, run: str, kind: str, *names: str) -> None:
    """One state after the other."""
    for name in names:
        # By force: the run is not due for an hour, so that no worker takes it.
        body = {"state": {"type": kind, "name": name}, "force": True}
        answer = api.post(f"/flow_runs/{run}/set_state", json=body)
        assert answer.raise_for_status().json()["status"] == "ACCEPT", answer.text


def begin_inside(api: httpx.Client, *, of: str) -> str:
    """A sub-flow of the run, which Prefect shows in it as a task."""
    task = {"flow_run_id": of, "task_key": "inner", "dynamic_key": "0"}
    parent = api.post("/task_runs/", json=task).raise_for_status().json()["id"]
    flow = api.post("/flows/", json={"name": "inner"}).raise_for_status().json()["id"]
    body = {"flow_id": flow, "parent_task_run_id": parent, "state": {"type": "PENDING"}}
    return str(api.post("/flow_runs/", json=body).raise_for_status().json()["id"])
