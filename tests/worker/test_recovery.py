"""No run is forgotten: each state that a dead worker, host or server has left one in is put right, by that state alone.

No server here has an automation, and no event is waited for.
"""

from __future__ import annotations

import os
import re
import signal
import uuid
from datetime import datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from deploy.onhost.prefect_api import Access, server_now
from sandbox.local.processes import AUTH
from tests.worker.world import Trial, alive, wait_for

if TYPE_CHECKING:
    from pathlib import Path

    from sandbox.local.proxy import Proxy
    from sandbox.local.server import Api
    from tests.worker.conftest import StartWorker
    from tests.worker.world import Worker

# Minutes in seconds; nothing else is changed.
EAGER = """
import sys
from worker import reconciler, recovery
from datetime import timedelta
reconciler.ROUND_SECONDS, recovery.SILENCE_SECONDS, reconciler.APART_SECONDS = 1.0, 8.0, 2.0
reconciler._SUB_FLOW_SECONDS = 2.0
recovery.UNCLAIMED = timedelta(seconds=3)
from worker.__main__ import main
sys.exit(main())
"""


class Pool:
    """A work pool of the test's own, so that nobody else's worker answers for its runs."""

    def __init__(self, api: Api, start: StartWorker) -> None:
        self.name = f"pool-{uuid.uuid4().hex[:6]}"
        self._api, self._start = api, start

    def worker(self, *, name: str = "", queue: str = "", port: int = 0, **more: str) -> Worker:
        more |= {"HUBLAB_WORK_POOL": self.name, "queue": queue}
        return self._start(name=name, launch=EAGER, port=port, **more).ready()

    def begin(self, entrypoint: str, queue: str, *tags: str, **parameters: Any) -> str:
        """A run with these tags; of the queue `nobody` if no worker is to take it."""
        self._api.ensure_queue(self.name, queue)
        deployment = self._api.deploy(f"trial_flows.{entrypoint}", f"{entrypoint}-{self.name}", self.name)
        body = {"work_queue_name": queue, "parameters": parameters, "state": {"type": "SCHEDULED"}, "tags": list(tags)}
        return str(self._api.post(f"/deployments/{deployment}/create_flow_run", body)["id"])


@pytest.fixture
def pool(api: Api, start: StartWorker) -> Pool:
    return Pool(api, start)


def put(api: Api, run: str, kind: str, name: str, message: str = "") -> None:
    """Set its state by force."""
    state = {"type": kind, "name": name, "message": message}
    answer = api.post(f"/flow_runs/{run}/set_state", {"state": state, "force": True})
    assert answer["status"] == "ACCEPT", answer


def history(api: Api, run: str) -> list[str]:
    """What it has been called, in order."""
    return [state["name"] for state in api.get(f"/flow_run_states/?flow_run_id={run}")]


def look(api: Api, pool: Pool) -> None:
    """Wait until the worker that answers for others has looked at the runs after this moment."""
    run = pool.begin("until", "nobody")
    put(api, run, "PENDING", "Pending")
    api.wait(lambda: "RunAgain" in history(api, run), "a look")


def kill(worker: Worker, *engines: int) -> None:
    """As a power cut does."""
    worker.process.kill()
    worker.process.wait()
    for engine in engines:
        os.killpg(engine, signal.SIGKILL)


@pytest.mark.parametrize("tags", [("run-again",), ()])
def test_killed_with_its_engine_the_run_is_found_by_the_next_start(
    api: Api, pool: Pool, trial: Trial, tags: tuple[str, ...]
) -> None:
    worker = pool.worker()
    run = pool.begin("until", worker.queue, *tags, **trial.files)
    kill(worker, trial.begun())
    assert api.state(run) == "RUNNING"
    pool.worker(name=worker.name, queue=worker.queue)
    if tags:
        trial.begun(times=2)
        trial.let_end()
        assert api.wait_state(run, "COMPLETED") == "COMPLETED"
        names = history(api, run)
        assert names[names.index("Running") :][:3] == ["Running", "Lost", "RunAgain"]
        states = api.get(f"/flow_run_states/?flow_run_id={run}")
        due = {state["name"]: state["state_details"]["scheduled_time"] for state in states}
        # It is due as early as it was, before all that came after it.
        assert datetime.fromisoformat(due["RunAgain"]) <= datetime.fromisoformat(states[0]["timestamp"])
    else:
        assert api.wait_state(run, "CRASHED") == "CRASHED"
        assert history(api, run)[-1] == "Lost"
        assert len(trial.lines("begin")) == 1


def outlived(pool: Pool, trial: Trial) -> tuple[str, int]:
    """A run and its engine, whose worker was killed; another of its name is there."""
    worker = pool.worker()
    run = pool.begin("until", worker.queue, "run-again", **trial.files)
    engine = trial.begun()
    kill(worker)
    pool.worker(name=worker.name, queue=worker.queue)
    return run, engine


def test_engine_that_outlives_its_worker_is_not_started_twice_and_missed_when_it_dies(
    api: Api, pool: Pool, trial: Trial
) -> None:
    run, engine = outlived(pool, trial)
    look(api, pool)
    assert api.state(run) == "RUNNING"
    assert alive(engine)
    os.killpg(engine, signal.SIGKILL)
    trial.begun(times=2)
    trial.let_end()
    assert api.wait_state(run, "COMPLETED") == "COMPLETED"


def test_run_that_is_cancelled_when_its_engine_has_outlived_its_worker_is_ended(
    api: Api, pool: Pool, trial: Trial
) -> None:
    run, engine = outlived(pool, trial)
    api.cancel(run)
    assert api.wait_state(run, "CANCELLED", "COMPLETED", "CRASHED") == "CANCELLED"
    assert not alive(engine)


def test_run_whose_engine_died_is_run_again_though_something_that_it_forked_lives_on(
    api: Api, pool: Pool, trial: Trial
) -> None:
    """As the workers of multiprocessing do, which have their engine's title, when the kernel's OOM killer ends it."""
    worker = pool.worker()
    run = pool.begin("forks", worker.queue, "run-again", **trial.files)
    os.kill(trial.begun(), signal.SIGKILL)
    trial.begun(times=2)
    left = trial.child()
    assert alive(left)
    os.kill(left, signal.SIGKILL)
    trial.let_end()
    assert api.wait_state(run, "COMPLETED", "FAILED") == "COMPLETED"


@pytest.mark.parametrize("name", ["Pending", "HublabSubmitting"])
def test_claimed_by_its_worker_and_not_begun(api: Api, pool: Pool, trial: Trial, name: str) -> None:
    """The claim was written, and the worker died before its label, or before its engine."""
    worker = pool.worker()
    first = pool.begin("until", worker.queue, **trial.files)
    trial.begun()
    claim = next(state for state in api.get(f"/flow_run_states/?flow_run_id={first}") if state["name"] == "Pending")
    kill(worker)
    run = pool.begin("until", worker.queue, **trial.files)
    put(api, run, "PENDING", name, claim["message"])
    pool.worker(name=worker.name, queue=worker.queue)
    trial.begun(times=2)
    trial.let_end()
    assert api.wait_state(run, "COMPLETED", "CRASHED") == "COMPLETED"
    assert "RunAgain" in history(api, run)
    assert api.wait_state(first, "COMPLETED", "CRASHED") == "COMPLETED"
    assert len(trial.lines("begin")) == 2


def test_claim_that_names_nobody_is_freed(api: Api, pool: Pool, trial: Trial) -> None:
    pool.worker()
    run = pool.begin("until", "nobody", **trial.files)
    put(api, run, "PENDING", "Pending")
    assert api.wait(lambda: "RunAgain" in history(api, run), "freed")


def test_runs_of_a_worker_that_is_gone(api: Api, pool: Pool, trial: Trial, tmp_path: Path) -> None:
    gone, living = pool.worker(), pool.worker()
    again, once, cancelled = (Trial(tmp_path) for _ in range(3))
    runs = {
        "again": pool.begin("until", gone.queue, "run-again", **again.files),
        "once": pool.begin("outer", gone.queue, **once.files),
        "cancelled": pool.begin("until", gone.queue, **cancelled.files),
    }
    engines = [one.begun() for one in (again, once, cancelled)]
    inside = api.wait(lambda: sub_flows(api, runs["once"]), "a sub-flow")
    kill(gone, *engines)
    api.cancel(runs["cancelled"])
    api.wait(lambda: "RunAgain" in history(api, runs["again"]), "run again")
    api.wait(lambda: history(api, runs["once"])[-1] == "Lost", "lost")
    api.wait(lambda: [history(api, run)[-1] for run in inside] == ["Lost"], "its sub-flow too")
    assert api.wait_state(runs["cancelled"], "CANCELLED") == "CANCELLED"
    assert "answers from now on" in living.log.read_text()
    assert f"Worker {gone.name} is gone." in str(api.get(f"/flow_run_states/?flow_run_id={runs['again']}"))


def sub_flows(api: Api, run: str) -> list[str]:
    wanted = {"flow_runs": {"parent_flow_run_id": {"any_": [run]}, "state": {"type": {"any_": ["RUNNING"]}}}}
    return [found["id"] for found in api.post("/flow_runs/filter", wanted)]


def test_host_that_was_installed_anew_answers_for_its_runs_and_a_second_of_that_name_does_not(
    api: Api, pool: Pool, trial: Trial, proxy: Proxy
) -> None:
    """They are told apart by the machine's id alone."""
    first = pool.worker(HUBLAB_PLACE="first")
    run = pool.begin("until", first.queue, "run-again", **trial.files)
    engine = trial.begun()
    second = pool.worker(name=first.name, queue="nobody", HUBLAB_PLACE="second")
    look(api, pool)
    assert api.state(run) == "RUNNING"
    kill(second)
    kill(first, engine)

    there = Access(f"http://127.0.0.1:{api.port}/api", AUTH)

    def silent() -> bool:  # the last beat of one that was killed may be written down later
        last = datetime.fromisoformat(api.heartbeat(first.name, pool.name))
        return server_now(there) - last > timedelta(seconds=9)

    wait_for(silent, "nobody beats any more", every=1)
    # Its first heartbeat is written down and its next question refused: when it begins once more, it hears itself.
    broken = proxy.fail(rb"GET /api/work_pools/\S+/queues/", "400", lasting=False)
    pool.worker(name=first.name, queue=first.queue, port=proxy.port, HUBLAB_PLACE="anew")
    assert broken.times == 1
    trial.begun(times=2)
    trial.let_end()
    assert api.wait_state(run, "COMPLETED") == "COMPLETED"


def test_lost_or_crashed_and_not_run_again(api: Api, pool: Pool) -> None:
    pool.worker()
    kept = {name: pool.begin("until", "nobody") for name in ("Lost", "Crashed")}
    kept["GaveUp"] = pool.begin("until", "nobody", "run-again")
    for name, run in kept.items():
        put(api, run, "CRASHED", name)
    for what in ("run again", "run again at another look"):
        tagged = {name: pool.begin("until", "nobody", "run-again") for name in ("Lost", "Crashed")}
        for name, run in tagged.items():
            put(api, run, "CRASHED", name)
        for run in tagged.values():
            api.wait(lambda run=run: "RunAgain" in history(api, run), what)  # type: ignore[misc]
    assert {name: history(api, run)[-1] for name, run in kept.items()} == {name: name for name in kept}


def test_tenth_time_within_a_day_is_the_last(api: Api, pool: Pool) -> None:
    api.post("/work_pools/", {"name": pool.name, "type": "process"})
    run = pool.begin("until", "nobody", "run-again")
    for _ in range(8):
        put(api, run, "CRASHED", "Crashed")
        put(api, run, "SCHEDULED", "RunAgain")
    put(api, run, "CRASHED", "Crashed")
    pool.worker()
    api.wait(lambda: history(api, run).count("RunAgain") == 9, "run again for the ninth time")
    put(api, run, "PENDING", "Pending")
    api.wait(lambda: history(api, run)[-1] == "GaveUp", "given up, as it was stuck")
    second = pool.begin("until", "nobody", "run-again")
    for _ in range(9):
        put(api, second, "SCHEDULED", "RunAgain")
    put(api, second, "CRASHED", "Crashed")
    api.wait(lambda: history(api, second)[-1] == "GaveUp", "given up, as it crashed")
    assert "10 times within 24 h" in api.run(second)["state"]["message"]
    assert api.run(second)["state"]["type"] == "CRASHED"


def test_costs_a_request_a_round_at_the_most(pool: Pool, proxy: Proxy) -> None:
    """Of the worker that answers for others, which asks most. A turn is four rounds and begins with the workers.

    To count what is due is a part of polling.
    """
    pool.worker(port=proxy.port)
    wait_for(lambda: any(line.startswith("PATCH /api/variables/") for line in proxy.asked), "a whole cycle of turns")
    recovery = [line for line in proxy.asked if re.search("/flow_runs/(?!count)|/variables/|/workers/filter", line)]
    # The first look is that of a worker which starts, before the first round; the lease is touched in a turn's place.
    looks = [place for place, line in enumerate(recovery) if line.endswith("/workers/filter")][1:]
    touch = next(place for place, line in enumerate(recovery) if line.startswith("PATCH "))
    turns = [after - before for before, after in pairwise([*looks, touch])]
    assert len(turns) == 3, recovery
    assert max(turns) <= 4, recovery


LEFT_ALONE = (("PAUSED", "Suspended"), ("PAUSED", "Paused"), ("RUNNING", "Running"), ("SCHEDULED", "AwaitingRetry"))


def test_run_that_waits_or_that_nobody_of_ours_claimed_is_left_alone(api: Api, pool: Pool) -> None:
    """What is paused, what waits, and what runs by no claim of ours: another project's worker may have it."""
    pool.worker()
    runs = {name: pool.begin("until", "nobody", "run-again") for _, name in LEFT_ALONE}
    for kind, name in LEFT_ALONE:
        put(api, runs[name], kind, name)
    look(api, pool)
    assert {name: history(api, run)[-1] for name, run in runs.items()} == {name: name for name in runs}
