"""A power cut in the midst of a deploy: its lost flow runs are found, and run again where that is allowed."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from sandbox import runs
from sandbox.past import FLOWS
from tests.hosts.faults import MOMENTS, Struck, cut_power
from tests.hosts.load import completes
from tests.hosts.test_5_rollback import left_behind

if TYPE_CHECKING:
    import httpx

    from sandbox import Machine, Sandbox
    from tests.hosts.conftest import Operator


def begin(api: httpx.Client, *tags: str) -> str:
    """A run that is in flight for a while; with the tags of its deployment."""
    deployment = runs.register(api, "flows.py:nap", directory=str(FLOWS))
    api.patch(f"/deployments/{deployment}", json={"tags": []}).raise_for_status()  # a run inherits them
    body = {"parameters": {"seconds": 40.0}, "state": {"type": "SCHEDULED"}, "tags": list(tags)}
    run = str(api.post(f"/deployments/{deployment}/create_flow_run", json=body).raise_for_status().json()["id"])
    runs.await_state(api, run, {"RUNNING"})
    return run


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
    with sandbox.api() as api:
        again, once = begin(api, "run-again"), begin(api)
        deadline = time.monotonic() + 60
        while not (heard(api, again) and heard(api, once)):
            assert time.monotonic() < deadline, "no heartbeat reached the server"
            time.sleep(1)
        struck = Struck(deployed, HUBLAB_CONCURRENCY="11")
        struck.until(*MOMENTS["activate"])
        cut_power(machine)
        assert struck.end().status != 0
        result = deployed.deploy(HUBLAB_CONCURRENCY="11")
        assert result.status == 0, result.text
        assert left_behind(machine) == ""
        assert completes(api, again, timeout=400), runs.state(api, again)
        lost = runs.await_state(api, once, timeout=400)
        assert (lost.type, lost.name) == ("CRASHED", "Lost")
        assert api.get(f"/flow_runs/{again}").json()["run_count"] == 2
