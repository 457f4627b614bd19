"""Engines are forked from a warm process, and nothing else about them is different."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from prefect.logging.configuration import DEFAULT_LOGGING_SETTINGS_PATH, load_logging_config

from tests.worker.world import Trial, alive, survivors, title, wait_for

if TYPE_CHECKING:
    from sandbox.local.server import Api
    from tests.worker.conftest import StartWorker
    from tests.worker.world import Worker

PIDFD = "anon_inode:[pidfd]"
SPAWNED = {"command": f"{sys.executable} -m prefect.engine"}


# As a shell starts a command with "&".
IN_THE_BACKGROUND = """
import signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)
from worker.__main__ import main
sys.exit(main())
"""


@pytest.fixture(scope="module")
def worker(executed: Worker) -> Worker:
    """What is here about engines is also about what they have from their worker's start."""
    return executed


def facts(api: Api, worker: Worker, **job_variables: object) -> Any:
    """What one engine is like."""
    file = worker.folder / f"facts-{uuid.uuid4().hex[:8]}"
    deployment = api.deploy("trial_facts.facts", "facts")
    body = {"work_queue_name": worker.queue, "parameters": {"file": str(file)}, "state": {"type": "SCHEDULED"}}
    run = api.post(f"/deployments/{deployment}/create_flow_run", {**body, "job_variables": job_variables})["id"]
    assert api.wait_state(run, "COMPLETED", "CRASHED", "FAILED") == "COMPLETED", worker.log.read_text()
    return json.loads(file.read_text()) | {"run": run}


def status(pid: int, field: str) -> str:
    found = re.search(rf"^{field}:\s+(\S+)", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    assert found
    return found[1]


def descriptors(pid: int) -> list[str]:
    folder = Path(f"/proc/{pid}/fd")
    return sorted(str(number.readlink()) for number in folder.iterdir())


def of_worker(worker: Worker) -> list[int]:
    """The worker itself and fork servers of its, also one that it has just started."""
    name = f"HUBLAB_WORKER_NAME={worker.name}".encode()
    found = [pid for pid in survivors() if "-m worker" in title(pid)]
    return [pid for pid in found if name in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")]


def test_forked_engine_is_as_a_spawned_one_and_one_run_does_not_change_the_next(api: Api, execute: StartWorker) -> None:
    worker = execute(launch=IN_THE_BACKGROUND).ready()
    server = worker.fork_server()
    spawned, first, second = facts(api, worker, **SPAWNED), facts(api, worker), facts(api, worker)
    assert (spawned["own"]["parent"], first["own"]["parent"]) == (worker.process.pid, server)
    # The first has set a policy, a variable and an attribute of `sys`: the second must not know.
    assert spawned["equal"] == first["equal"] == second["equal"]
    assert first["equal"]["policy"] == "asyncio.unix_events"
    for engine in (first, second):
        assert engine["own"]["session"] == engine["own"]["pid"]
        assert engine["own"]["title"] == [sys.executable, "-m", "prefect.engine", engine["run"]]
    assert len({engine["own"]["random"] for engine in (spawned, first, second)}) == 3
    assert second["own"]["threads"][0] == "MainThread"


def test_settings_of_a_run_are_read_anew(api: Api, worker: Worker) -> None:
    environment = {"PREFECT_LOGGING_LEVEL": "DEBUG", "PREFECT_API_REQUEST_TIMEOUT": "77", "TRIAL": "yes"}
    environment["PATH"] = f"/opt/mine:{os.environ['PATH']}"
    spawned = facts(api, worker, env=environment, **SPAWNED)
    forked = facts(api, worker, env=environment)
    assert forked["own"]["parent"] == worker.fork_server()
    assert forked["equal"] == spawned["equal"]
    assert forked["equal"]["levels"]["prefect"] == 10
    assert forked["equal"]["settings"]["PREFECT_API_REQUEST_TIMEOUT"] == "77.0"
    assert forked["equal"]["environment"]["TRIAL"] == "yes"
    assert forked["equal"]["environment"]["PATH"].startswith("/opt/mine:")


def test_settings_file_where_a_run_works_is_read(api: Api, worker: Worker, tmp_path: Path) -> None:
    """The fork server need not have had other settings in its environment."""
    server = worker.fork_server()
    for name, content in {
        ".env": "PREFECT_LOGGING_LEVEL=DEBUG\n",
        "prefect.toml": '[logging]\nlevel = "DEBUG"\n',
        "pyproject.toml": '[tool.prefect.logging]\nlevel = "DEBUG"\n',
    }.items():
        (folder := tmp_path / f"with-{name.strip('.')}").mkdir()
        (folder / name).write_text(content)
        forked = facts(api, worker, working_dir=str(folder))
        assert (forked["own"]["parent"], forked["equal"]["levels"]["prefect"]) == (server, 10), name
    lower = facts(api, worker, env={"prefect_logging_level": "DEBUG"})
    assert lower["equal"]["levels"]["prefect"] == 10


def test_log_that_goes_to_a_file_of_the_operators_does_not_go_where_a_run_writes(
    api: Api, execute: StartWorker, tmp_path: Path
) -> None:
    """The fork server has that file open, and its engines do not: by its number they have other files, and sockets."""
    log, own = tmp_path / "file.log", tmp_path / "own"
    configuration = load_logging_config(DEFAULT_LOGGING_SETTINGS_PATH)
    configuration["handlers"]["file"] = {"class": "logging.FileHandler", "filename": str(log)}
    for logger in configuration["loggers"].values():
        logger["level"] = "INFO"  # not what this process, in which other tests ran before, has it at
        logger.setdefault("handlers", []).append("file")
    (chosen := tmp_path / "logging.yml").write_text(json.dumps(configuration))
    worker = execute(PREFECT_LOGGING_SETTINGS_PATH=str(chosen)).ready()
    server = worker.fork_server()
    run = api.start("logs", worker.queue, file=str(own))
    assert api.wait_state(run, "COMPLETED", "CRASHED", "FAILED") == "COMPLETED", worker.log.read_text()
    assert alive(server)
    assert own.read_text() == "a line of its own\n"
    assert "a line of the log" in log.read_text()


def test_proxy_that_leads_nowhere_cuts_no_run_off_from_prefect(api: Api, worker: Worker) -> None:
    nowhere = {"ALL_PROXY": "http://127.0.0.1:9", "HTTP_PROXY": "http://127.0.0.1:9"}
    forked, spawned = facts(api, worker, env=nowhere), facts(api, worker, env=nowhere, **SPAWNED)
    assert forked["own"]["parent"] == worker.fork_server()
    for engine in (forked, spawned):
        assert nowhere.items() <= engine["equal"]["environment"].items()
        assert engine["equal"]["environment"]["NO_PROXY"] == "127.0.0.1"


EARLY = ("FSSPEC_S", "HOME", "LD_LIBRARY_PATH", "PYTHONUTF8", "TZ", "WEBSOCKETS_MAX_REDIRECTS")


def test_what_a_fork_comes_too_late_for_is_spawned(api: Api, worker: Worker, tmp_path: Path) -> None:
    """Each is a reason by itself, and is named."""
    worker.fork_server()
    wanted = {name: str(tmp_path) if name in {"HOME", "LD_LIBRARY_PATH", "TZ"} else "1" for name in EARLY}
    engine = facts(api, worker, env=wanted)
    assert engine["own"]["parent"] == worker.process.pid
    assert wanted.items() <= {**engine["equal"]["environment"], "HOME": engine["own"]["home"]}.items()
    assert f"Flow run {engine['run']} is not forked: it sets {', '.join(EARLY)}\n" in worker.log.read_text()


def test_server_has_one_thread_no_connection_and_shares_no_descriptor(api: Api, worker: Worker, trial: Trial) -> None:
    server = worker.fork_server()
    worker.systemd.wait("0 runs in flight", len(worker.systemd.messages))
    idle, own = descriptors(server), descriptors(worker.process.pid)
    run = api.start("until", worker.queue, **trial.files, child=True)
    engine = trial.begun()
    assert status(engine, "PPid") == str(server)
    assert status(server, "Threads") == "1"
    control = {name for name in idle if name.startswith("socket:")}
    assert len(control) == 1
    theirs = control | {name for name in own if name.startswith("socket:")}
    for process in (engine, trial.child()):
        assert not theirs & set(descriptors(process))
        assert PIDFD not in descriptors(process)
    assert set(descriptors(server)) - set(idle) == {PIDFD}
    os.kill(trial.child(), signal.SIGKILL)
    trial.let_end()
    assert api.wait_state(run, "COMPLETED", "CRASHED", "FAILED") == "COMPLETED"
    wait_for(lambda: descriptors(server) == idle, "the server's descriptors are as before")
    wait_for(lambda: descriptors(worker.process.pid).count(PIDFD) == own.count(PIDFD), "the worker's are, too")
    assert not Path(f"/proc/{engine}").exists()


@pytest.mark.long
def test_twelve_runs_at_once_end_well_from_one_fork_server(api: Api, start: StartWorker, trial: Trial) -> None:
    worker = start(HUBLAB_CONCURRENCY="6").ready()
    server = worker.fork_server()
    trial.let_end()
    runs = [api.start("until", worker.queue, **trial.files) for _ in range(12)]
    assert {api.wait_state(run, "COMPLETED", "CRASHED", "FAILED") for run in runs} == {"COMPLETED"}
    assert len(trial.lines("begin")) == len(trial.lines("end")) == len(runs)
    assert worker.fork_server() == server
    assert worker.term().exit() == 0
    assert not alive(server)


def test_run_of_the_first_moment_waits_for_the_server_instead_of_importing_twice(
    api: Api, execute: StartWorker, trial: Trial
) -> None:
    worker = execute()
    os.kill(server := worker.cold_fork_server(), signal.SIGSTOP)
    worker.ready()
    run = api.start("until", worker.queue, **trial.files)
    api.wait_state(run, "PENDING")
    os.kill(server, signal.SIGCONT)
    assert status(trial.begun(), "PPid") == str(server)
    trial.let_end()
    assert api.wait_state(run, "COMPLETED", "CRASHED", "FAILED") == "COMPLETED"


@pytest.mark.parametrize("fault", [signal.SIGKILL, signal.SIGSTOP])
def test_server_ends_with_a_worker_that_was_killed(api: Api, execute: StartWorker, trial: Trial, fault: int) -> None:
    worker = execute().ready()
    server = worker.fork_server()
    run = api.start("until", worker.queue, **trial.files)
    engine = trial.begun()
    assert set(of_worker(worker)) == {worker.process.pid, server}
    os.kill(server, fault)
    worker.process.kill()
    worker.process.wait()
    wait_for(lambda: not alive(server), "the server has ended")
    assert alive(engine)
    trial.let_end()
    assert api.wait_state(run, "COMPLETED", "CRASHED", "FAILED") == "COMPLETED"
    assert len(trial.lines("begin")) == len(trial.lines("end")) == 1
    wait_for(lambda: not of_worker(worker), "nothing of the worker is left")
