"""The workers as the Prefect server sees them, and a flow run on each; then: a second deploy would change nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from deploy import spec
from deploy.fleet import report
from deploy.fleet.connect import Host as FleetHost
from deploy.onhost.worker_unit import as_worker
from deploy.settings import worker_host
from deploy.ssh import arguments

if TYPE_CHECKING:
    from testinfra.host import Host

    from deploy.settings import Settings

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def name(host: Host, number: int) -> str:
    return spec.worker_name(host.check_output("hostname"), number)


def test_online_with_a_fresh_heartbeat(api: Any, settings: Settings, name: str) -> None:
    """The server calls a dead worker ONLINE for up to 105 s; its heartbeat tells."""
    workers = {item["name"]: item for item in api(f"/work_pools/{settings.work_pool}/workers/filter", {})}
    assert name in workers, f"the server knows {sorted(workers)}"
    assert workers[name]["status"] == "ONLINE"
    assert datetime.now(UTC) - datetime.fromisoformat(workers[name]["last_heartbeat_time"]) < timedelta(seconds=60)


def test_pool_and_queues_are_not_paused(api: Any, settings: Settings) -> None:
    pool = api(f"/work_pools/{settings.work_pool}")
    assert pool["type"] == "process"
    assert pool["is_paused"] is False
    queues = {item["name"]: item for item in api(f"/work_pools/{settings.work_pool}/queues/filter", {})}
    for queue in settings.work_queues:
        assert queues[queue]["is_paused"] is False


def test_probe_run_completes(host: Host, settings: Settings, name: str, number: int, release: str) -> None:
    """A flow run that this very worker starts: what no health check can replace."""
    unit = spec.unit_name(number)
    text = host.file(f"{spec.UNITS}/{unit}").content_string
    since = (datetime.now(UTC) - timedelta(seconds=60)).isoformat()
    probe = ["-m", "worker.probe", "--worker", name, "--pool", settings.work_pool, "--since", since, "--timeout", "120"]
    command = [*as_worker(unit, text), f"{release}/venv/bin/python", "-P", *probe]
    done = host.run(" ".join(["%s"] * len(command)), *command)
    answer = json.loads(done.stdout.splitlines()[-1])
    assert answer["state"] == "COMPLETED", answer
    assert answer["ok"] is True
    assert answer["release"] == release.rpartition("/")[2]
    # The run has tried to leave its domain, and fails where it can although the kernel could keep it from that.
    kernel = json.loads(host.check_output("%s -P -m worker.landlock", f"{release}/venv/bin/python"))
    assert answer["message"].endswith(f", Landlock {kernel['abi']}")
    for gap in kernel["a flow run can"]:
        warnings.warn(f"the kernel of {name} is too old: a flow run can {gap}", stacklevel=1)


def test_no_other_worker_runs_on_the_host(host: Host, settings: Settings) -> None:
    """A worker that somebody started by hand crashes runs, or takes them to another release.

    Proven ones: any user can start a process that only reads like one, and a container is not the deploy's to judge.
    """
    (target,) = (item for item in settings.hosts if item.address == host.backend.hostname)
    fleet_host = FleetHost(worker_host(settings, target), arguments(settings, target))
    state = report.ask(fleet_host, whole=True).state
    assert state.faults == {}
    assert [f"{item.name} (pid {item.pid}, {item.origin})" for item in state.legacy] == []


def test_second_deploy_would_change_nothing(settings: Settings) -> None:
    """On pyinfra's own plan, which it makes from the hosts as they are now."""
    pyinfra = Path(sys.executable).with_name("pyinfra")
    command = [str(pyinfra), "--dry", "--json", "deploy/inventory.py", "deploy/workers.py"]
    environment = os.environ | {"HUBLAB_ENV_FILE": str(settings.source)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    operations = json.loads(done.stdout)
    planned = operations.get("plan") or operations.get("operations") or operations.get("proposed_changes")
    assert planned, operations
    assert [item["name"] for item in planned if item["hosts_with_change"]] == []
