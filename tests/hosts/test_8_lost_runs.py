"""A power cut in the midst of a deploy: its lost flow runs are found, and run again where that is allowed."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from sandbox import runs
from sandbox.load import completes
from sandbox.past import FLOWS
from sandbox.waiting import wait_for
from tests.hosts.faults import MOMENTS, Struck, cut_power
from tests.hosts.test_5_rollback import left_behind

if TYPE_CHECKING:
    import httpx

    from sandbox import Machine, Sandbox
    from sandbox.operator import Operator


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
    return runs.start(api, deployment, {"seconds": 40.0}, tags=tags, after=timedelta(seconds=after_seconds))


def unended(api: httpx.Client) -> list[tuple[str, str]]:
    """Name and state of every flow run that has begun or is to begin, sub-flows included."""
    body = {"flow_runs": {"state": {"type": {"not_any_": sorted(runs.TERMINAL)}}}}
    return [(run["name"], run["state_name"]) for run in runs.pages(api, "/flow_runs/filter", body)]


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
        lost = runs.await_state(api, once, timeout=400)
        assert (lost.type, lost.name) == ("CRASHED", "Lost")
        # What is paused is left alone; resumed, it is found to have no process.
        assert runs.state(api, paused).type == "PAUSED"
        api.post(f"/flow_runs/{paused}/resume", json={}).raise_for_status()
        assert runs.await_state(api, paused, timeout=400).name == "Lost"
        wait_for(lambda: not unended(api), lambda: f"none is left as if it ran: {unended(api)}", 120, every=2)


@pytest.mark.faults
def test_run_that_was_claimed_by_nobody_known_is_freed(deployed: Operator, sandbox: Sandbox) -> None:
    with sandbox.api() as api:
        # Due in an hour, so that no worker takes it; claimed, as by one that died before it began.
        run = create(api, "flows.py:nap", after_seconds=3600)
        runs.force(api, run, "PENDING", "Pending")
        assert runs.state(api, run).type == "PENDING"
        # Another worker's run may be silent and well.
        others = create(api, "flows.py:nap", after_seconds=3600)
        runs.force(api, others, "RUNNING", "Running")
        assert completes(api, run, timeout=240), runs.state(api, run)
        assert runs.state(api, others).type == "RUNNING"
        runs.force(api, others, "CANCELLED", "Cancelled")


@pytest.mark.faults
@pytest.mark.timeout(900)
def test_runs_of_a_host_that_never_returns(deployed: Operator, sandbox: Sandbox, machine: Machine) -> None:
    """One worker of the host is stopped for good; another of them answers for its runs."""
    with sandbox.api() as api:
        unit = "prefect-worker@1"
        started = [create(api, "flows.py:nap", "run-again") for _ in range(6)]
        for run in started:
            runs.await_state(api, run, {"RUNNING"})
        machine.ssh(f"systemctl mask --runtime {unit}; systemctl kill --kill-whom=all --signal=KILL {unit}")
        try:
            for run in started:
                assert completes(api, run, timeout=400), runs.state(api, run)
        finally:
            machine.ssh(f"systemctl unmask --runtime {unit}; systemctl start {unit}")
