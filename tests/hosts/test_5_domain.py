"""On a real host: a flow run in its unit harms neither its worker nor other runs, whatever it tries."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from deploy import spec
from sandbox import runs
from sandbox.past import FLOWS
from tests.hosts.conftest import main_pids

if TYPE_CHECKING:
    import httpx

    from sandbox import Machine, Sandbox
    from sandbox.operator import Operator

ATTACKS = Path(__file__).parents[1] / "worker" / "trial_attacks.py"


@pytest.fixture
def flows(deployed: Operator, machine: Machine) -> str:
    """The attacks' code lies where runs read it."""
    machine.put(f"{FLOWS}/attacks.py", ATTACKS.read_text())
    return str(FLOWS)


def begin(api: httpx.Client, entrypoint: str, folder: str, **parameters: Any) -> str:
    """All at the first worker, by the queue that it alone polls: neighbours are runs of one user."""
    return runs.start(api, runs.register(api, entrypoint, directory=folder, queue="probe-hublab-1-1"), parameters)


def neighbour(api: httpx.Client, folder: str) -> tuple[str, int]:
    """Another run in flight, and its engine's process id."""
    run = begin(api, "flows.py:nap", folder, seconds=60)
    runs.await_state(api, run, {"RUNNING"})
    found = api.get(f"/flow_runs/{run}").raise_for_status().json()
    return run, int(str(found["infrastructure_pid"]).rpartition(":")[2])


def test_run_reaches_no_other_process_and_writes_in_its_own_folders(
    sandbox: Sandbox, machine: Machine, flows: str
) -> None:
    workers = {f"worker {number}": int(pid) for number, pid in main_pids(machine).items()}
    children = {name: machine.ssh(f"pgrep -P {pid} -f worker.fork_server").stdout for name, pid in workers.items()}
    servers = {f"server of {name}": int(pid) for name, pid in children.items()}
    state = f"{spec.STATE}/worker-1"
    forbidden = ["/tmp/planted", f"{state}/planted", f"{state}/tmp/planted", f"{state}/prefect/profiles.toml"]
    with sandbox.api() as api:
        other, pid = neighbour(api, flows)
        parameters = {
            "file": "$PREFECT_LOCAL_STORAGE_PATH/told.json",
            "processes": workers | servers | {"neighbour": pid},
            "forbidden": forbidden,
            "unreadable": [f"{state}/tmp"],
            "abstract": "hublab-nobody",
        }
        runs.await_state(api, begin(api, "attacks.py:attack", flows, **parameters))
        runs.await_state(api, other)
    told = json.loads(machine.ssh(f"cat {spec.STATE}/worker-*/prefect/storage/told.json").stdout)
    machine.ssh(f"rm {spec.STATE}/worker-*/prefect/storage/told.json")
    for who in (*workers, *servers, "neighbour"):
        assert not [what for what, outcome in told[who].items() if outcome == "done"], (who, told[who])
    assert "done" not in told["write"].values(), told["write"]
    assert "done" not in told["read"].values(), told["read"]
    assert "done" not in told["filtered"].values(), told["filtered"]


def test_run_that_kills_everybody_kills_itself_at_most(sandbox: Sandbox, machine: Machine, flows: str) -> None:
    before = main_pids(machine)
    with sandbox.api() as api:
        other, _ = neighbour(api, flows)
        runs.await_state(api, begin(api, "attacks.py:kill_everybody", flows))
        runs.await_state(api, other)
    assert main_pids(machine) == before


def test_systemd_believes_no_run(sandbox: Sandbox, machine: Machine, flows: str) -> None:
    before = main_pids(machine)
    with sandbox.api() as api:
        runs.await_state(api, begin(api, "attacks.py:speak_for_the_worker", flows, address="/run/systemd/notify"))
    assert main_pids(machine) == before
    for number in before:
        shown = machine.ssh(f"systemctl show --property=StatusText,ActiveState prefect-worker@{number}").stdout
        assert "spoofed" not in shown
        assert "ActiveState=active" in shown
