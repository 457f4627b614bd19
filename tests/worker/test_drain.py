"""A worker that is told to stop loses nothing and runs nothing twice."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.worker.world import LIMIT, alive

if TYPE_CHECKING:
    from sandbox.local.proxy import Proxy
    from sandbox.local.server import Api
    from tests.worker.conftest import StartWorker
    from tests.worker.world import Trial


def test_idle_worker_exits_0_on_sigterm_and_has_spoken_to_systemd(execute: StartWorker) -> None:
    worker = execute().ready()
    worker.systemd.wait(f"STATUS=polling {worker.queue}, 0 runs in flight")
    assert worker.term().exit() == 0
    assert worker.systemd.heard("STOPPING=1")


def test_drain_waits_for_its_run_takes_no_other_and_keeps_its_heartbeat(
    api: Api, start: StartWorker, trial: Trial
) -> None:
    worker = start().ready()
    run = api.start("until", worker.queue, **trial.files)
    trial.begun()
    worker.systemd.wait("1 run in flight")
    worker.term().drains()
    later = api.start("until", worker.queue, **trial.files)
    before = api.heartbeat(worker.name)
    api.wait(lambda: api.heartbeat(worker.name) > before, "a heartbeat while draining")
    worker.systemd.wait("EXTEND_TIMEOUT_USEC=")
    worker.systemd.wait("STATUS=draining, 1 run in flight")
    assert worker.process.poll() is None
    trial.let_end()
    assert worker.exit() == 0
    assert (api.state(run), api.state(later)) == ("COMPLETED", "SCHEDULED")
    assert len(trial.lines("begin")) == len(trial.lines("end")) == 1


@pytest.mark.parametrize("how", ["second signal", "limit"])
def test_what_still_runs_is_handed_back_and_run_again(api: Api, start: StartWorker, trial: Trial, how: str) -> None:
    worker = start(HUBLAB_DRAIN_SECONDS="1" if how == "limit" else "900").ready()
    run = api.start("until", worker.queue, **trial.files, child=True)
    engine = trial.begun()
    child = trial.child()
    worker.term().drains()
    if how == "second signal":
        worker.term()
    assert worker.exit() == 0
    assert not alive(engine)
    assert not alive(child)
    state = api.run(run)["state"]
    assert (state["type"], state["name"]) == ("SCHEDULED", "AwaitingRetry")
    successor = start(name=worker.name, queue=worker.queue).ready()
    trial.begun(times=2)
    trial.let_end()
    assert api.wait_state(run, "COMPLETED", "CRASHED", "FAILED") == "COMPLETED"
    assert len(trial.lines("end")) == 1
    assert successor.term().exit() == 0


def test_run_that_ignores_sigterm_is_ended_with_its_children_and_handed_back(
    api: Api, start: StartWorker, trial: Trial
) -> None:
    worker = start(HUBLAB_DRAIN_SECONDS="0").ready()
    run = api.start("stubborn", worker.queue, **trial.files)
    engine = trial.begun()
    child = trial.child()
    assert worker.term().exit() == 0
    assert not alive(engine)
    assert not alive(child)
    first, *_, last = api.get(f"/flow_run_states/?flow_run_id={run}")
    assert (last["type"], last["name"]) == ("SCHEDULED", "AwaitingRetry")
    # It is due as early as it was, before all that came after it.
    assert last["state_details"]["scheduled_time"] <= first["timestamp"]


def test_run_claimed_in_the_moment_of_the_signal_is_carried_through(
    api: Api, proxy: Proxy, start: StartWorker, trial: Trial
) -> None:
    worker = start(port=proxy.port).ready()
    trial.let_end()
    claim = proxy.hold(rb'POST \S+/set_state.*"PENDING"', answered=True)
    run = api.start("until", worker.queue, **trial.files)
    assert claim.seen.wait(LIMIT)
    assert api.state(run) == "PENDING"
    worker.term().drains()
    claim.go_on.set()
    assert worker.exit() == 0
    assert api.state(run) == "COMPLETED"
    assert len(trial.lines("begin")) == len(trial.lines("end")) == 1


@pytest.mark.parametrize("request_", [rb"/get_scheduled_flow_runs.*%s", rb"GET \S+/deployments/[0-9a-f-]+ "])
def test_run_polled_but_not_claimed_stays_scheduled(
    api: Api, proxy: Proxy, start: StartWorker, trial: Trial, request_: bytes
) -> None:
    worker = start(port=proxy.port).ready()
    pattern = request_ % worker.queue.encode() if b"%s" in request_ else request_
    # Its repetitions too: the worker must not get there by patience.
    held = [proxy.hold(pattern, answered=True) for _ in range(5)]
    run = api.start("until", worker.queue, **trial.files)
    assert held[0].seen.wait(LIMIT)
    worker.term()
    assert worker.exit() == 0  # without waiting for the answer
    for hold in held:
        hold.go_on.set()
    assert api.run(run)["state"]["name"] == "Scheduled"
    assert not trial.lines("begin")


def test_lost_answer_to_a_claim_does_not_lose_the_run(api: Api, proxy: Proxy, start: StartWorker, trial: Trial) -> None:
    worker = start(port=proxy.port).ready()
    trial.let_end()
    claim = proxy.hold(rb'POST \S+/set_state.*"PENDING"', answered=True, drop=True)
    run = api.start("until", worker.queue, **trial.files)
    assert claim.seen.wait(LIMIT)
    assert api.wait_state(run, "COMPLETED", "CRASHED", "FAILED") == "COMPLETED"
    assert len(trial.lines("begin")) == 1
