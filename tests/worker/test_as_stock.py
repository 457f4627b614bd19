"""What Prefect's own process worker does, ours does as well: events, folders, packages of a run's own, `submit`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.worker.world import LIMIT, POOL, TOP, Trial, wait_for

if TYPE_CHECKING:
    from sandbox.local.server import Api
    from tests.worker.conftest import StartWorker
    from tests.worker.world import Worker

PREFECT = str(Path(sys.executable).parent / "prefect")
EVENTS = [
    "prefect.worker.started",
    "prefect.worker.submitted-flow-run",
    "prefect.worker.executed-flow-run",
    "prefect.runner.cancelled-flow-run",
    "prefect.worker.stopped",
]


class Stock:
    """Prefect's own worker, with the environment and the queue of one of ours."""

    def __init__(self, ours: Worker, *options: str) -> None:
        """Start it."""
        self.name = f"{'once' if options else 'stock'}-{ours.name}"
        where = ["--pool", POOL, "--work-queue", ours.queue, "--name", self.name]
        command = [PREFECT, "worker", "start", *where, *options]
        with ours.log.open("ab") as log:
            self._process = subprocess.Popen(command, env=ours.environment, stdout=log, stderr=log, cwd=ours.folder)

    def kill(self) -> None:
        """It says no goodbye. Asked to end, it may miss the interrupt and stay for ever."""
        self._process.kill()
        self._process.wait(LIMIT)

    def end(self) -> None:
        """It ends by itself: with `--run-once`."""
        assert self._process.wait(LIMIT) == 0


def happenings(api: Api, name: str, runs: list[str]) -> dict[str, list[Any]]:
    """By event: its resource and what it is related to, without what differs from worker to worker and run to run."""

    def plain(resource: dict[str, str]) -> list[tuple[str, str]]:
        own = {"prefect.resource.name", "prefect.worker.name", "prefect.infrastructure.identifier"}
        found = {key: "" if key in own else value for key, value in resource.items()}
        kind = found["prefect.resource.id"].split(".")
        found["prefect.resource.id"] = ".".join(kind[:3] if kind[1] == "worker" else kind[:2])
        return sorted(found.items())

    def concerned(event: dict[str, Any]) -> bool:
        told = [event["resource"], *event["related"]]
        return any(entry["prefect.resource.id"].endswith((f".{name}", *runs)) for entry in told)

    asked = {"filter": {"event": {"name": EVENTS}}, "limit": 50}
    events = [event for event in api.post("/events/filter", asked)["events"] if concerned(event)]
    found: dict[str, list[Any]] = {}
    for event in events:
        related = sorted(plain(entry) for entry in event["related"])
        found.setdefault(event["event"], []).append([plain(event["resource"]), related, bool(event["follows"])])
    return {event: sorted(told) for event, told in found.items()}


def live(api: Api, queue: str, folder: Path) -> list[str]:
    """One run that completes, one that is cancelled."""
    completes, cancelled = Trial(folder), Trial(folder)
    completes.let_end()
    runs = [api.start("until", queue, **completes.files), api.start("hooked", queue, **cancelled.files)]
    cancelled.begun()
    api.cancel(runs[1])
    assert api.wait_state(runs[1], "CANCELLED", "CRASHED", "FAILED") == "CANCELLED"
    assert api.wait_state(runs[0], "COMPLETED", "CRASHED", "FAILED") == "COMPLETED"
    return runs


@pytest.mark.long
def test_events_are_those_of_prefects_own_worker(api: Api, start: StartWorker, tmp_path: Path) -> None:
    ours = start(HUBLAB_CONCURRENCY="2").ready()
    runs = live(api, ours.queue, tmp_path)
    assert ours.term().exit() == 0
    wait_for(lambda: set(happenings(api, ours.name, runs)) == set(EVENTS), f"all of {EVENTS}")
    stock = Stock(ours)
    runs_of_stock = live(api, ours.queue, tmp_path)
    *told, goodbye = EVENTS
    wait_for(lambda: set(happenings(api, stock.name, runs_of_stock)) == set(told), "the same of Prefect's worker")
    stock.kill()
    once = Stock(ours, "--run-once")
    once.end()
    wait_for(lambda: goodbye in happenings(api, once.name, []), "its goodbye")
    theirs = happenings(api, stock.name, runs_of_stock) | {goodbye: happenings(api, once.name, [])[goodbye]}
    assert happenings(api, ours.name, runs) == theirs


def test_relative_folder_is_seen_from_the_workers_own(
    api: Api, start: StartWorker, trial: Trial, tmp_path: Path
) -> None:
    (tmp_path / "inner").mkdir()
    worker = start().ready()
    run = api.start_with({"working_dir": "inner"}, "until", worker.queue, **trial.files)
    folder = Path(f"/proc/{trial.begun()}/cwd").readlink()
    assert folder == (tmp_path / "inner").resolve()
    trial.let_end()
    assert api.wait_state(run, "COMPLETED", "CRASHED", "FAILED") == "COMPLETED"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project that wants Prefect, and a `uv` that notes what it is told and runs the rest with this interpreter."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "pyproject.toml").write_text('[project]\nname = "x"\nversion = "1"\ndependencies = ["prefect"]\n')
    uv = tmp_path / "bin" / "uv"
    uv.parent.mkdir()
    uv.write_text(f'#!/bin/sh\necho "$@" >>{tmp_path}/uv-was-told\nshift 4\nexec {sys.executable} "$@"\n')
    uv.chmod(0o755)
    return folder


def test_run_with_packages_of_its_own_is_started_by_uv(
    api: Api, start: StartWorker, trial: Trial, tmp_path: Path, project: Path
) -> None:
    path = f"{tmp_path}/bin:{os.environ['PATH']}"
    worker = start(PATH=path, PREFECT_RUNNER_AUTO_INSTALL_DEPENDENCIES="true").ready()
    run = api.start_with({"working_dir": str(project)}, "until", worker.queue, **trial.files)
    trial.begun()
    assert f"run --no-default-groups --project {project}" in (tmp_path / "uv-was-told").read_text()
    trial.let_end()
    assert api.wait_state(run, "COMPLETED", "CRASHED", "FAILED") == "COMPLETED"
    variables = {"working_dir": str(project), "env": {"PREFECT_RUNNER_AUTO_INSTALL_DEPENDENCIES": "false"}}
    other = Trial(tmp_path)
    other.let_end()
    run = api.start_with(variables, "until", worker.queue, **other.files)
    assert api.wait_state(run, "COMPLETED", "CRASHED", "FAILED") == "COMPLETED"
    assert len((tmp_path / "uv-was-told").read_text().splitlines()) == 1


# Long; what is quick asks the same of the hooks of other runs: test_domain.py.
@pytest.mark.long
@pytest.mark.parametrize("entrypoint", ["trial_flows.harmful_hook", "trial_attacks.name_the_hooks_command"])
def test_hooks_of_a_run_with_packages_of_its_own_are_in_its_domain(
    api: Api, start: StartWorker, trial: Trial, tmp_path: Path, project: Path, entrypoint: str
) -> None:
    """Whatever command the run itself has named for them."""
    worker = start(PATH=f"{tmp_path}/bin:{os.environ['PATH']}", PREFECT_RUNNER_AUTO_INSTALL_DEPENDENCIES="true").ready()
    deployment = api.deploy(entrypoint, entrypoint.rpartition(".")[2])
    parameters = {**trial.files, "forbidden": str(worker.home / "hook"), "out": str(out := tmp_path / "hook")}
    body = {"work_queue_name": worker.queue, "parameters": parameters, "state": {"type": "SCHEDULED"}}
    body |= {"job_variables": {"working_dir": str(project)}}
    run = str(api.post(f"/deployments/{deployment}/create_flow_run", body)["id"])
    os.kill(trial.begun(), signal.SIGKILL)
    assert api.wait_state(run, "CRASHED", "FAILED", "COMPLETED") == "CRASHED"
    assert wait_for(lambda: out.exists() and out.read_text().strip(), "the hook's word") == "PermissionError"
    assert not (worker.home / "hook").exists()


def test_worker_without_uv_says_what_becomes_of_the_setting(start: StartWorker) -> None:
    worker = start(PATH="/usr/bin:/bin", PREFECT_RUNNER_AUTO_INSTALL_DEPENDENCIES="true").ready()
    assert "PREFECT_RUNNER_AUTO_INSTALL_DEPENDENCIES: set, but uv is not on PATH" in worker.log.read_text()


SUBMITS = """
import asyncio, os
from prefect import flow
from worker.forking import ForkServer
from worker.process_worker import HublabWorker
from worker.settings import from_environment

@flow
def seven() -> int:
    try:
        open(os.environ["PREFECT_HOME"] + "/planted", "w")
    except PermissionError:
        return 7
    raise RuntimeError("it is in no domain")

@flow
def raises() -> None:
    raise ValueError("as it should")

async def main() -> None:
    server = ForkServer()
    async with HublabWorker(from_environment(os.environ), server) as worker:
        while not worker.has_synced:
            await worker.sync_with_backend()
        good, bad = await worker.submit(seven), await worker.submit(raises)
    for future in (good, bad):
        await future.wait_async(timeout=60)
        print("ended as", future.state.name, flush=True)

asyncio.run(main())
"""


def test_flow_that_is_handed_to_the_worker_itself_is_run(start: StartWorker) -> None:
    # Prefect installs what the sender has installed, by uv, which finds all of it there.
    worker = start(launch=SUBMITS, PYTHONPATH=f"{TOP}", VIRTUAL_ENV=sys.prefix, UV_OFFLINE="1")
    assert worker.exit() == 0, worker.log.read_text()
    assert "ended as Completed" in worker.log.read_text()
    assert "ended as Failed" in worker.log.read_text()
