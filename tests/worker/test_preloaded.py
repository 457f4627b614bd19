"""The fork server imports the release's own flows once; only runs that would import the very same get to see them."""

from __future__ import annotations

import shutil
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sandbox.local.server import Api
    from tests.worker.conftest import StartWorker
    from tests.worker.world import Worker

PACKAGE = Path(__file__).parent / "trial_release"
MODULE = "trial_release.who"


def imported(api: Api, worker: Worker, entrypoint: str = f"{MODULE}.who", **job_variables: Any) -> tuple[int, str]:
    """The process in which a run's module was imported, and what it found there."""
    file = worker.folder / f"who-{uuid.uuid4().hex[:8]}"
    deployment = api.deploy(entrypoint, f"who-{uuid.uuid4().hex[:8]}")
    body = {"work_queue_name": worker.queue, "parameters": {"file": str(file)}, "state": {"type": "SCHEDULED"}}
    run = api.post(f"/deployments/{deployment}/create_flow_run", {**body, "job_variables": job_variables})["id"]
    assert api.wait_state(run, "COMPLETED", "CRASHED", "FAILED") == "COMPLETED", worker.log.read_text()
    process, asked = file.read_text().split()
    return int(process), asked


def test_run_of_the_release_finds_its_module_imported_and_no_other_run_does(api: Api, execute: StartWorker) -> None:
    worker = execute(HUBLAB_PRELOAD=MODULE, TRIAL_ASKED="server").ready()
    server = worker.fork_server()
    assert imported(api, worker) == (server, "server")
    theirs = worker.folder / "theirs"
    shutil.copytree(PACKAGE, theirs / "trial_release")
    (theirs / "main.py").write_text(f"from {MODULE} import who\n")
    others: dict[str, dict[str, Any]] = {
        "a variable that the module has asked for": {"env": {"TRIAL_ASKED": "run"}},
        "a setting that a flow takes when it is made": {"env": {"PREFECT_FLOWS_DEFAULT_RETRIES": "1"}},
        "a package of that name where it works": {"working_dir": str(theirs)},
        "a file, whatever its package is called": {"entrypoint": f"{PACKAGE / 'who.py'}:who"},
        "a file that brings a package of that name": {"entrypoint": f"{theirs / 'main.py'}:who"},
    }
    for what, other in others.items():
        process, asked = imported(api, worker, **other)
        assert process != server, what
        assert asked == other.get("env", {}).get("TRIAL_ASKED", "server")
    assert imported(api, worker, env={"ELSE": "x"}) == (server, "server")


def test_module_that_cannot_be_imported_keeps_no_run_from_its_start(api: Api, execute: StartWorker) -> None:
    worker = execute(HUBLAB_PRELOAD="trial_release.nowhere", TRIAL_ASKED="server").ready()
    server = worker.fork_server()
    process, _ = imported(api, worker)
    assert process != server
    said = "worker.fork_server: HUBLAB_PRELOAD: trial_release.nowhere cannot be imported; each run imports by itself"
    assert said in worker.log.read_text()
