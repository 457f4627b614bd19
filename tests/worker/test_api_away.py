"""The API is away, hangs or refuses for longer than a stock worker bears, and no run is lost."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.worker.world import LIMIT, POOL, Trial, wait_for

if TYPE_CHECKING:
    from sandbox.local.proxy import Proxy
    from sandbox.local.server import Api
    from tests.worker.conftest import StartWorker

# Stock Prefect's loops give up after 4 times 3 failures in a row (workers/base.py), and at once on 401 and 403.
STOCK_GIVES_UP_AFTER = 12


def test_run_in_flight_outlives_every_kind_of_outage(api: Api, proxy: Proxy, start: StartWorker, trial: Trial) -> None:
    worker = start(port=proxy.port, launch=IMPATIENT).ready()
    run = api.start("until", worker.queue, **trial.files)
    trial.begun()
    for mode in ("401", "503", "hang", "refuse"):
        heard = len(worker.systemd.messages)
        before = api.heartbeat(worker.name)

        def beats(before: str = before) -> bool:
            return api.heartbeat(worker.name) > before

        with proxy.misbehaving(mode):
            if mode != "refuse":
                enough = 4 if mode == "hang" else STOCK_GIVES_UP_AFTER
                wait_for(lambda enough=enough: proxy.refused > enough, f"more than {enough} failures")  # type: ignore[misc]
            what = f"answers {mode} since" if mode.isdigit() else ""
            worker.systemd.wait(f"STATUS=waiting for Prefect's API, 1 run in flight; API {what}", heard)
        api.wait(beats, f"a heartbeat after {mode}")
    trial.let_end()
    assert api.wait_state(run, "COMPLETED", "CRASHED", "FAILED") == "COMPLETED"
    assert len(trial.lines("begin")) == 1
    assert worker.term().exit() == 0


def test_run_that_ends_and_is_cancelled_while_the_api_is_away(
    api: Api, proxy: Proxy, start: StartWorker, trial: Trial, tmp_path: Path
) -> None:
    worker = start(port=proxy.port, launch=IMPATIENT).ready()
    other = Trial(tmp_path)
    ends = api.start("until", worker.queue, **trial.files)
    cancelled = api.start("hooked", worker.queue, **other.files)
    trial.begun()
    other.begun()
    with proxy.misbehaving("503"):
        trial.let_end()
        wait_for(lambda: trial.lines("end"), "the flow's last line")
        api.cancel(cancelled)
        worker.term()
        refused = proxy.refused
        wait_for(lambda: proxy.refused > refused + STOCK_GIVES_UP_AFTER, "more failures")
    assert api.wait_state(ends, "COMPLETED", "CRASHED", "FAILED") == "COMPLETED"
    assert api.wait_state(cancelled, "CANCELLED", "CRASHED", "FAILED") == "CANCELLED"
    assert worker.exit() == 0


def test_claimed_run_is_started_when_the_api_goes_away_right_then(
    api: Api, proxy: Proxy, start: StartWorker, trial: Trial
) -> None:
    worker = start(port=proxy.port, launch=IMPATIENT).ready()
    trial.let_end()
    claim = proxy.hold(rb'POST \S+/set_state.*"PENDING"', answered=True)
    run = api.start("until", worker.queue, **trial.files)
    assert claim.seen.wait(LIMIT)
    with proxy.misbehaving("500"):
        claim.go_on.set()
        wait_for(lambda: proxy.refused > STOCK_GIVES_UP_AFTER, "failures")
    assert api.wait_state(run, "COMPLETED", "CRASHED", "FAILED") == "COMPLETED"
    assert len(trial.lines("begin")) == 1


def test_refusal_of_one_run_does_not_end_another(
    api: Api, proxy: Proxy, start: StartWorker, trial: Trial, tmp_path: Path
) -> None:
    """In Prefect's own worker that error ends the task group that owns all runs."""
    worker = start(port=proxy.port, launch=IMPATIENT).ready()
    other = Trial(tmp_path)
    run = api.start("until", worker.queue, **trial.files)
    trial.begun()
    refused = proxy.hold(rb"GET \S+/deployments/[0-9a-f-]+ ", status="400")
    other.let_end()
    second = api.start("steps", worker.queue, **other.files)  # another deployment: the first one's is known by now
    assert refused.seen.wait(LIMIT)
    assert api.wait_state(second, "COMPLETED", "CRASHED", "FAILED") == "COMPLETED"
    trial.let_end()
    assert api.wait_state(run, "COMPLETED", "CRASHED", "FAILED") == "COMPLETED"
    assert len(trial.lines("begin")) == 1


def test_engine_that_cannot_reach_the_api_at_its_start_is_no_crash(
    api: Api, proxy: Proxy, start: StartWorker, trial: Trial
) -> None:
    worker = start(port=proxy.port, launch=IMPATIENT, PREFECT_CLIENT_MAX_RETRIES="4").ready()
    trial.let_end()
    started = proxy.hold(rb'PATCH \S+/flow_runs/\S+ .*"infrastructure_pid"')
    run = api.start("until", worker.queue, **trial.files)
    assert started.seen.wait(LIMIT)
    heard = len(worker.systemd.messages)
    with proxy.misbehaving("refuse"):
        wait_for(lambda: "flow_run_executor - Process exited" in worker.log.read_text(), "the engine gives up")
        # The worker's own requests go by its clock: the engine, with four tries, may give up before one was refused.
        worker.systemd.wait("STATUS=waiting for Prefect's API, 1 run in flight; API ", heard)
    started.go_on.set()
    assert api.wait_state(run, "COMPLETED", "CRASHED", "FAILED") == "COMPLETED"
    assert len(trial.lines("begin")) == 1


def test_worker_starts_before_its_api_and_polls_once_it_is_there(api: Api, proxy: Proxy, start: StartWorker) -> None:
    with proxy.misbehaving("401"):
        worker = start(port=proxy.port, launch=IMPATIENT)
        worker.systemd.wait("answers 401 since")
        assert not worker.systemd.heard("READY=1")
    worker.ready()


def test_run_that_cannot_be_handed_back_is_named_and_the_status_says_so(
    api: Api, proxy: Proxy, start: StartWorker, trial: Trial
) -> None:
    worker = start(port=proxy.port, launch=IMPATIENT, HUBLAB_DRAIN_SECONDS="0").ready()
    run = api.start("until", worker.queue, **trial.files)
    trial.begun()
    with proxy.misbehaving("503"):
        assert worker.term().exit() == 75
    assert f"Could not be handed back: flow runs {run}" in worker.log.read_text()


@pytest.mark.long
def test_stock_worker_loses_its_run_to_the_first_401(api: Api, proxy: Proxy, start: StartWorker, trial: Trial) -> None:
    """The comparison: without ours, this is what happens. When it fails, Prefect has learned to bear it."""
    ours = start()  # creates the pool and the queue
    ours.ready()
    assert ours.term().exit() == 0
    ours.environment["PREFECT_API_URL"] = f"http://127.0.0.1:{proxy.port}/api"
    prefect = str(Path(sys.executable).parent / "prefect")
    command = [prefect, "worker", "start", "--pool", POOL, "--work-queue", ours.queue, "--name", "stock"]
    with ours.log.open("ab") as log:
        stock = subprocess.Popen(command, env=ours.environment, stdout=log, stderr=log, cwd=ours.folder)
    try:
        run = api.start("until", ours.queue, **trial.files)
        engine = trial.begun()
        with proxy.misbehaving("401"):
            wait_for(lambda: not Path(f"/proc/{engine}").exists(), "the stock worker ends its run")
        assert api.state(run) in {"RUNNING", "CRASHED"}
    finally:
        stock.send_signal(signal.SIGKILL)
        stock.wait()


# Limits of minutes in seconds; nothing else is changed.
IMPATIENT = """
import itertools, sys
import httpx
from worker import lifecycle, patience
lifecycle.REQUEST_LIMIT, lifecycle.HAND_BACK_LIMIT = 2.0, 4.0
patience._TIMEOUT, patience._waits = httpx.Timeout(3), lambda: itertools.repeat(0.1)
from worker.__main__ import main
sys.exit(main())
"""
