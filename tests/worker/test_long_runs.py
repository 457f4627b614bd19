"""Runs that are neither short nor simple, when their worker is told to stop: sub-flow, suspended, paused.

A run over the drain's limit and one that ignores SIGTERM are in test_drain.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.worker.world import alive, wait_for

if TYPE_CHECKING:
    from sandbox.local.server import Api
    from tests.worker.conftest import StartWorker
    from tests.worker.world import Trial, Worker


def test_drain_waits_for_a_sub_flow(api: Api, start: StartWorker, trial: Trial) -> None:
    worker = start().ready()
    run = api.start("outer", worker.queue, **trial.files)
    trial.begun()
    worker.term().drains()
    trial.let_end()
    assert worker.exit() == 0
    assert api.state(run) == "COMPLETED"
    assert len(trial.lines("begin")) == len(trial.lines("end")) == 1


def test_handed_back_with_its_sub_flow_and_run_again(api: Api, start: StartWorker, trial: Trial) -> None:
    worker = start(HUBLAB_DRAIN_SECONDS="1").ready()
    run = api.start("outer", worker.queue, **trial.files)
    trial.begun()
    assert worker.term().exit() == 0
    assert api.state(run) == "SCHEDULED"
    start(name=worker.name, queue=worker.queue).ready()
    trial.begun(times=2)
    trial.let_end()
    assert api.wait_state(run, "COMPLETED") == "COMPLETED"
    assert len(trial.lines("end")) == 1


def test_suspended_run_holds_no_worker_and_goes_on_at_another(api: Api, start: StartWorker, trial: Trial) -> None:
    worker = start().ready()
    run = api.start("suspends", worker.queue, mark=trial.files["mark"])
    assert api.wait_state(run, "PAUSED") == "PAUSED"
    worker.systemd.wait("0 runs in flight")
    assert worker.term().exit() == 0
    assert api.state(run) == "PAUSED"
    start(name=worker.name, queue=worker.queue).ready()
    api.post(f"/flow_runs/{run}/resume", {})
    assert api.wait_state(run, "COMPLETED") == "COMPLETED"


def test_run_that_somebody_suspends_before_it_is_watched_stops_at_its_next_step(
    api: Api, worker: Worker, trial: Trial
) -> None:
    """The watch begins some seconds after the run, and looks at what has become of it."""
    run = api.start("steps", worker.queue, **trial.files)
    engine = trial.begun()
    api.post(f"/flow_runs/{run}/set_state", {"state": {"type": "PAUSED", "name": "Suspended"}, "force": True})
    wait_for(lambda: not alive(engine), "its engine has ended")
    assert api.run(run)["state"]["name"] == "Suspended"
    assert not trial.lines("end")


def test_paused_run_is_waited_for_and_after_the_limit_handed_back(api: Api, start: StartWorker, trial: Trial) -> None:
    """Paused in its process, it needs that process: so it is in flight. Run again, it pauses anew."""
    worker = start(HUBLAB_DRAIN_SECONDS="1").ready()
    run = api.start("pauses", worker.queue, mark=trial.files["mark"])
    assert api.wait_state(run, "PAUSED") == "PAUSED"
    assert worker.term().exit() == 0
    assert api.state(run) == "SCHEDULED"
    start(name=worker.name, queue=worker.queue).ready()
    trial.begun(times=2)
    if api.wait_state(run, "PAUSED", "COMPLETED") == "PAUSED":
        api.post(f"/flow_runs/{run}/resume", {})
    assert api.wait_state(run, "COMPLETED") == "COMPLETED"
