"""The gate's probe, the worker's own queue, and the list of what is in flight."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tests.worker.world import POOL, wait_for
from worker import landlock

if TYPE_CHECKING:
    from sandbox.local.server import Api
    from tests.worker.conftest import StartWorker
    from tests.worker.world import Trial, Worker

LONG_AGO = "2020-01-01T00:00:00Z"


def begin(worker: Worker, *arguments: str, module: str = "worker.probe") -> subprocess.Popen[str]:
    command = [sys.executable, "-P", "-s", "-m", module, "--pool", POOL, "--worker", worker.name, *arguments]
    return subprocess.Popen(
        command, env=worker.environment, cwd=worker.home, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def end(process: subprocess.Popen[str]) -> tuple[int, Any]:
    out, err = process.communicate(timeout=120)
    return process.returncode, json.loads(out) if out else err


def test_probe_passes_while_the_worker_is_full_and_no_customer_gets_the_place(
    api: Api, worker: Worker, trial: Trial
) -> None:
    first = api.start("until", worker.queue, **trial.files)
    trial.begun()
    second = api.start("until", worker.queue, **trial.files)
    status, verdict = end(begin(worker, "--since", LONG_AGO, "--timeout", "60"))
    assert (status, verdict["ok"], verdict["online"], verdict["state"]) == (0, True, True, "COMPLETED"), verdict
    assert (verdict["worker"], verdict["pid"], verdict["release"]) == (worker.name, str(worker.process.pid), "trial")
    run = api.run(verdict["flow_run_id"])
    assert run["work_queue_name"] == f"probe-{worker.name}"
    assert run["state"]["message"] == f"worker {worker.name}, release trial, Landlock {landlock.abi()}"
    assert (api.state(first), api.state(second)) == ("RUNNING", "SCHEDULED")
    _, found = end(begin(worker, module="worker.status"))
    assert [(entry["worker"], entry["status"], entry["runs"]) for entry in found] == [(worker.name, "ONLINE", [first])]
    trial.let_end()
    assert api.wait_state(first, "COMPLETED", "CRASHED", "FAILED") == "COMPLETED"
    assert api.wait_state(second, "COMPLETED", "CRASHED", "FAILED") == "COMPLETED"


def test_probes_that_begin_together_share_one_deployment_and_keep_to_their_workers(
    api: Api, worker: Worker, start: StartWorker
) -> None:
    for deployment in api.post("/deployments/filter", {"deployments": {"name": {"any_": ["hublab-probe"]}}}):
        api.delete(f"/deployments/{deployment['id']}")
    other = start().ready()
    both = [begin(which, "--since", LONG_AGO, "--timeout", "90") for which in (worker, other)]
    verdicts = [end(process)[1] for process in both]
    assert [verdict["ok"] for verdict in verdicts] == [True, True], verdicts
    assert [verdict["pid"] for verdict in verdicts] == [str(which.process.pid) for which in (worker, other)]
    deployments = {api.run(verdict["flow_run_id"])["deployment_id"] for verdict in verdicts}
    assert deployments == {api.get("/deployments/name/hublab-probe/hublab-probe")["id"]}


def test_stale_heartbeat_does_not_pass(worker: Worker) -> None:
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    status, verdict = end(begin(worker, "--since", tomorrow, "--timeout", "2"))
    assert (status, verdict["ok"], verdict["online"]) == (1, False, False)
    assert verdict["heartbeat"] is not None
    assert f"worker {worker.name} is not ONLINE in pool default with a heartbeat after" in verdict["error"]


def test_run_that_nobody_takes_does_not_pass_and_is_not_left_for_later(api: Api, start: StartWorker) -> None:
    worker = start().ready()
    os.kill(worker.process.pid, 19)  # SIGSTOP: ONLINE still, by its last heartbeat
    status, verdict = end(begin(worker, "--since", LONG_AGO, "--timeout", "5"))
    assert (status, verdict["online"], verdict["state"]) == (1, True, "SCHEDULED")
    assert f"is anything polling probe-{worker.name}?" in verdict["error"]
    assert api.state(verdict["flow_run_id"]) == "CANCELLED"


def test_refused_credential_is_named(worker: Worker) -> None:
    environment = {**worker.environment, "PREFECT_API_AUTH_STRING": "admin:wrong"}
    command = [sys.executable, "-m", "worker.probe", "--worker", "w", "--pool", POOL, "--since", LONG_AGO]
    status, verdict = end(subprocess.Popen(command, env=environment, text=True, stdout=subprocess.PIPE))
    assert status == 1
    assert "answers 401" in verdict["error"]
    assert "wrong" not in verdict["error"]


@pytest.mark.parametrize("arguments", [[], ["--since", "yesterday"]])
def test_wrong_usage_is_2(worker: Worker, arguments: list[str]) -> None:
    assert end(begin(worker, *arguments))[0] == 2


def test_missing_queues_are_created_since_polling_an_unknown_one_finds_nothing(
    api: Api, start: StartWorker, trial: Trial
) -> None:
    trial.let_end()
    worker = start().ready()
    run = api.start("until", worker.queue, **trial.files)
    assert api.wait_state(run, "COMPLETED") == "COMPLETED"
    api.delete(f"/work_pools/{POOL}/queues/probe-{worker.name}")
    wait_for(
        lambda: worker.log.read_text().count(f"Work queue probe-{worker.name} was missing") == 2, "created once more"
    )
