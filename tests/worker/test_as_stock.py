"""What Prefect's own process worker does, ours does as well: folders, packages of a run's own, `submit`."""

from __future__ import annotations

import os
import re
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.deploy.lock import excluded
from tests.worker.world import TOP, Trial, wait_for

if TYPE_CHECKING:
    from sandbox.local.server import Api
    from tests.worker.conftest import StartWorker


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
        handed = [await worker.submit(seven), await worker.submit(raises)]
        handed.append(await worker.submit(seven, job_variables={"env": "no variables"}))
        while worker.in_flight:
            await worker.in_flight.change()
        for future in handed:
            print("ended as", future.state.name, flush=True)
        failed = await worker.client.read_flow_run(handed[1].flow_run_id)
        again = await worker.submit(seven, flow_run=failed)
    print("in the end", again.state.name, flush=True)

asyncio.run(main())
"""


def test_flow_that_is_handed_to_the_worker_itself_is_run(execute: StartWorker, tmp_path: Path) -> None:
    # Prefect installs what the sender has, by uv, which finds all of it there but what pyproject.toml excludes.
    names = excluded((TOP / "pyproject.toml").read_text())
    (without := tmp_path / "overrides.txt").write_text("".join(f"{name} ; python_version < '3'\n" for name in names))
    worker = execute(
        launch=SUBMITS, PYTHONPATH=f"{TOP}", VIRTUAL_ENV=sys.prefix, UV_OFFLINE="1", UV_OVERRIDE=str(without)
    )
    assert worker.exit() == 0, worker.log.read_text()
    told = re.findall("^(ended as|in the end) (.*)", worker.log.read_text(), re.MULTILINE)
    assert told == [
        ("ended as", "Completed"),
        ("ended as", "Failed"),
        ("ended as", "Crashed"),  # its variables are none: it cannot be started
        ("in the end", "Completed"),  # the failed run, handed over once more
    ]
