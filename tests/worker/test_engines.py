"""What becomes of a run whose engine, or whose worker, dies."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.worker.world import LIMIT, Trial, alive, wait_for

if TYPE_CHECKING:
    from sandbox.local.proxy import Proxy
    from sandbox.local.server import Api
    from tests.worker.conftest import StartWorker
    from tests.worker.world import Worker


def test_engine_killed_is_reported_crashed(api: Api, worker: Worker, trial: Trial) -> None:
    run = api.start("killed", worker.queue, mark=trial.files["mark"])
    assert api.wait_state(run, "CRASHED", "COMPLETED", "FAILED") == "CRASHED"
    assert "-9" in api.run(run)["state"]["message"]


def test_flow_that_cannot_be_imported_is_reported_crashed_and_its_traceback_is_in_the_journal(
    api: Api, worker: Worker
) -> None:
    deployment = api.deploy("no_such_module.flow", "missing")
    body = {"work_queue_name": worker.queue, "state": {"type": "SCHEDULED"}}
    run = str(api.post(f"/deployments/{deployment}/create_flow_run", body)["id"])
    assert api.wait_state(run, "CRASHED", "FAILED", "COMPLETED") in {"CRASHED", "FAILED"}
    assert "No module named 'no_such_module'" in worker.log.read_text()


def test_run_bears_the_name_of_each_step_on_its_way(api: Api, worker: Worker, trial: Trial) -> None:
    run = api.start("until", worker.queue, **trial.files)
    trial.begun()
    trial.let_end()
    assert api.wait_state(run, "COMPLETED", "CRASHED", "FAILED") == "COMPLETED"
    names = [state["name"] for state in api.get(f"/flow_run_states/?flow_run_id={run}")]
    assert names == ["Scheduled", "Pending", "Running", "Completed"]


@pytest.mark.parametrize("command", ["", f"{sys.executable} -m prefect.engine"])
def test_process_of_a_run_is_told_by_itself_where_it_is_forked(
    api: Api, proxy: Proxy, start: StartWorker, trial: Trial, command: str
) -> None:
    """With what it tells before it begins, so that it is known of each run that has begun."""
    worker = start(port=proxy.port).ready()
    body = {"work_queue_name": worker.queue, "parameters": trial.files, "state": {"type": "SCHEDULED"}}
    body |= {"job_variables": {"command": command} if command else {}}
    run = api.post(f"/deployments/{api.deploy('trial_flows.until', 'until')}/create_flow_run", body)["id"]
    engine = trial.begun()
    assert api.run(run)["infrastructure_pid"] == str(engine)
    told = [whole for whole in proxy.whole if whole.startswith(f"PATCH /api/flow_runs/{run} ".encode())]
    assert len(told) == (2 if command else 1)


@pytest.mark.parametrize("entrypoint", ["knows", "knows_too"])
def test_flow_sees_its_run_as_the_server_has_it(api: Api, worker: Worker, trial: Trial, entrypoint: str) -> None:
    run = api.start(entrypoint, worker.queue, mark=trial.files["mark"])
    assert api.wait_state(run, "COMPLETED", "CRASHED", "FAILED") == "COMPLETED"
    seen, read = (json.loads(line) for line in Path(trial.files["mark"]).read_text().splitlines())
    by_the_clock = {"updated", "estimated_run_time", "estimated_start_time_delta"}
    assert {key: read[key] for key in read if seen[key] != read[key]}.keys() <= by_the_clock
    assert (seen["run_count"], seen["state_type"]) == (1, "RUNNING")


CHANGES = {
    "SCHEDULED": {"state_details": {"scheduled_time": "2999-01-01T00:00:00Z"}},
    "PAUSED": {"state_details": {"pause_timeout": "2999-01-01T00:00:00Z"}},
    "CANCELLING": {},
    "CANCELLED": {},
}
MOMENTS = {
    "before its engine is there": rb"PATCH \S+/flow_runs/\S+/labels",
    "when its flow is loaded": rb"PATCH \S+/flow_runs/\S+ .*empirical_policy",
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_run_that_is_touched_between_its_claim_and_its_start_is_not_begun(
    api: Api, proxy: Proxy, start: StartWorker, tmp_path: Path, moment: str
) -> None:
    worker = start(port=proxy.port, HUBLAB_CONCURRENCY="4").ready()
    trials, runs = [Trial(tmp_path) for _ in CHANGES], {}
    for (change, how), trial in zip(CHANGES.items(), trials, strict=True):
        trial.let_end()
        held = proxy.hold(MOMENTS[moment])
        runs[change] = run = api.start("until", worker.queue, **trial.files)
        assert held.seen.wait(LIMIT)
        api.post(f"/flow_runs/{run}/set_state", {"state": {"type": change, **how}, "force": True})
        worker.systemd.wait("1 run in flight")
        held.go_on.set()
        worker.systemd.wait("0 runs in flight", len(worker.systemd.messages))
    assert api.state(runs.pop("CANCELLING")) in {"CANCELLING", "CANCELLED"}  # by the next look at the runs
    assert {change: api.state(run) for change, run in runs.items()} == {change: change for change in runs}
    assert not any(trial.lines("begin") for trial in trials)


# Half a minute in seconds; nothing else is changed.
LOOKS_SOON = """
import sys
from worker import workplace
workplace.PAUSE_SECONDS = 3.0
from worker.__main__ import main
sys.exit(main())
"""


def test_host_without_a_place_to_work_gives_its_runs_back_and_takes_them_again_later(
    api: Api, start: StartWorker, tmp_path: Path
) -> None:
    """A worker that fails at once is free at once: it would take every run there is, and crash them all."""
    (place := tmp_path / "place").mkdir()
    (marks := tmp_path / "marks").mkdir()
    trial = Trial(marks)
    worker = start(launch=LOOKS_SOON, TMPDIR=str(place), HUBLAB_WRITE_PATHS=str(marks)).ready()
    place.rename(tmp_path / "away")
    run = api.start("until", worker.queue, **trial.files)
    worker.systemd.wait("STATUS=no runs can be started: [Errno 2] No such file or directory")
    api.wait(lambda: api.run(run)["state"]["name"] == "AwaitingRetry", "the run is given back")
    assert "could not start it: [Errno 2]" in api.run(run)["state"]["message"]
    (tmp_path / "away").rename(place)
    trial.begun()
    trial.let_end()
    assert api.wait_state(run, "COMPLETED", "CRASHED", "FAILED") == "COMPLETED"
    assert "Crashed" not in [state["name"] for state in api.get(f"/flow_run_states/?flow_run_id={run}")]


def test_cancelled_run_ends_and_its_hook_runs_outside_the_worker(api: Api, worker: Worker, trial: Trial) -> None:
    run = api.start("hooked", worker.queue, **trial.files)
    engine = trial.begun()
    api.cancel(run)
    assert api.wait_state(run, "CANCELLED", "CRASHED", "FAILED") == "CANCELLED"
    assert not alive(engine)
    (hook,) = wait_for(lambda: trial.lines("hook Cancelling"), "the cancellation hook")
    assert hook not in {worker.process.pid, engine}


def test_crashed_hook_runs_outside_the_worker(api: Api, worker: Worker, trial: Trial) -> None:
    run = api.start("hooked", worker.queue, **trial.files)
    os.kill(trial.begun(), signal.SIGKILL)
    assert api.wait_state(run, "CRASHED", "FAILED") == "CRASHED"
    (hook,) = wait_for(lambda: trial.lines("hook Crashed"), "the crash hook")
    assert hook != worker.process.pid


def test_crashed_hook_sees_the_crash_that_it_is_called_for_when_the_run_has_moved_on(
    api: Api, proxy: Proxy, start: StartWorker, trial: Trial
) -> None:
    worker = start(port=proxy.port).ready()
    run = api.start("hooked", worker.queue, **trial.files)
    crash = proxy.hold(rb'POST \S+/set_state.*"CRASHED"', answered=True)
    os.kill(trial.begun(), signal.SIGKILL)
    assert crash.seen.wait(LIMIT)
    again = {"type": "SCHEDULED", "state_details": {"scheduled_time": "2999-01-01T00:00:00Z"}}
    api.post(f"/flow_runs/{run}/set_state", {"state": again, "force": True})
    crash.go_on.set()
    wait_for(lambda: trial.lines("hook Crashed of Crashed"), "the crash hook")


def test_engine_cannot_speak_for_its_worker(api: Api, worker: Worker, trial: Trial) -> None:
    run = api.start("until", worker.queue, **trial.files)
    pid = trial.begun()
    with open(f"/proc/{pid}/environ", "rb") as file:  # noqa: PTH123
        names = {entry.partition(b"=")[0] for entry in file.read().split(b"\0")}
    assert not names & {b"NOTIFY_SOCKET", b"WATCHDOG_USEC", b"WATCHDOG_PID"}
    assert os.getsid(pid) == pid
    trial.let_end()
    assert api.wait_state(run, "COMPLETED", "CRASHED", "FAILED") == "COMPLETED"


def test_killed_worker_leaves_its_run_to_complete_and_its_successor_lets_it_be(
    api: Api, start: StartWorker, trial: Trial
) -> None:
    worker = start().ready()
    run = api.start("until", worker.queue, **trial.files)
    engine = trial.begun()
    worker.process.kill()
    worker.process.wait()
    successor = start(name=worker.name, queue=worker.queue).ready()
    successor.systemd.wait(f"STATUS=polling {worker.queue}, 0 runs in flight")
    assert alive(engine)
    assert api.state(run) == "RUNNING"
    trial.let_end()  # it prints once more: a pipe to its dead worker would break here
    assert api.wait_state(run, "COMPLETED", "CRASHED", "FAILED") == "COMPLETED"
    assert len(trial.lines("begin")) == len(trial.lines("end")) == 1
    assert "ends" in worker.log.read_text()
    assert successor.term().exit() == 0
