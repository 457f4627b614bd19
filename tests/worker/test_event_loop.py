"""The crash itself, and that it cannot come back through the worker's process."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.worker.world import environment

if TYPE_CHECKING:
    from pathlib import Path

    from sandbox.local.server import Api
    from tests.worker.conftest import StartWorker
    from tests.worker.world import Trial

# As uvloop's: it rules the process, and has no child watcher for a loop that is asyncio's.
FOREIGN_POLICY = """
import asyncio, threading
class ForeignPolicy(asyncio.DefaultEventLoopPolicy):
    def get_child_watcher(self):
        raise NotImplementedError
def take_over():
    asyncio.set_event_loop_policy(ForeignPolicy())
"""

REPRODUCTION = (
    FOREIGN_POLICY
    + """
from prefect.utilities.processutils import run_process
async def main():
    thread = threading.Thread(target=take_over)  # as uvicorn's did, in the worker's health check
    thread.start()
    thread.join()
    await run_process(["true"])
asyncio.run(main())
"""
)

TAKEN_OVER_WHILE_RUNNING = (
    FOREIGN_POLICY
    + """
import sys, time
from pathlib import Path
here = Path.cwd()
def later():
    while not (here / "take-over").exists():
        time.sleep(0.1)
    take_over()
threading.Thread(target=later, daemon=True).start()
from worker.__main__ import main
sys.exit(main())
"""
)


def python(code: str, home: Path, *module: str, **more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *(("-c", code) if code else ("-m", *module))]
    env = environment(home, HUBLAB_WORKER_NAME="w", PREFECT_API_URL="http://127.0.0.1:1/api", **more)
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=120, cwd=home)


def test_foreign_policy_set_from_a_thread_crashes_the_start_of_a_flow_run(tmp_path: Path) -> None:
    """The production fault, without a server: the last lines of its traceback."""
    done = python(REPRODUCTION, tmp_path)
    assert done.returncode == 1
    assert "get_child_watcher" in done.stderr
    assert done.stderr.strip().endswith("NotImplementedError")


@pytest.mark.parametrize("already_imported", [False, True])
def test_worker_refuses_an_interpreter_with_uvloop(tmp_path: Path, already_imported: bool) -> None:
    package = tmp_path / "uvloop"
    package.mkdir()
    (package / "__init__.py").write_text("")
    path = f"{environment(tmp_path)['PYTHONPATH']}:{tmp_path}"
    code = "import sys, uvloop; from worker.__main__ import main; sys.exit(main())" if already_imported else ""
    done = python(code, tmp_path, "worker", PYTHONPATH=path)
    assert done.returncode == 78
    assert done.stderr.startswith(f"worker: uvloop: importable by {sys.executable}")
    assert "pip uninstall uvloop" in done.stderr
    assert done.stderr.count("\n") == 1


def test_worker_accepts_a_release_that_blocks_uvloop(tmp_path: Path) -> None:
    """As hublab.pth does: installed, but shut out."""
    (tmp_path / "uvloop.py").write_text("")
    code = """
import sys
sys.modules.setdefault("uvloop", None)
from worker.event_loop import uvloop_fault
sys.exit(uvloop_fault())
"""
    assert python(code, tmp_path, PYTHONPATH=f"{environment(tmp_path)['PYTHONPATH']}:{tmp_path}").returncode == 0


def test_worker_refuses_a_foreign_policy_at_its_start(tmp_path: Path) -> None:
    done = python(
        FOREIGN_POLICY + "import sys; take_over(); from worker.__main__ import main; sys.exit(main())", tmp_path
    )
    assert done.returncode == 78
    assert done.stderr.startswith("worker: event-loop policy: __main__.ForeignPolicy rules this process")


def test_running_worker_that_is_taken_over_ends_its_runs_well_and_exits_to_be_restarted(
    api: Api, start: StartWorker, trial: Trial, tmp_path: Path
) -> None:
    worker = start(launch=TAKEN_OVER_WHILE_RUNNING).ready()
    run = api.start("until", worker.queue, **trial.files)
    trial.begun()
    (tmp_path / "take-over").touch()
    worker.drains()
    later = api.start("until", worker.queue, **trial.files)
    trial.let_end()
    assert worker.exit() == 70
    assert (api.state(run), api.state(later)) == ("COMPLETED", "SCHEDULED")
