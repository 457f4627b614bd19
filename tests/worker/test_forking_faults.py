"""The fork server dies or hangs: no run is lost, none is started twice, and another server is started."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.worker.world import Trial, alive, environment, wait_for
from worker.forking import ForkServer

if TYPE_CHECKING:
    from sandbox.local.server import Api
    from tests.worker.conftest import StartWorker
    from tests.worker.world import Worker

END = ("COMPLETED", "CRASHED", "FAILED")
# Limits of thirty seconds in one, and in thirty again after a signal: that is for a server which is stopped, and one
# that goes on may be slow. Nothing else is changed.
IMPATIENT = """
import signal, sys
from pathlib import Path
from worker import forked_process, forking
patient = forking.FORK_SECONDS
forking.FORK_SECONDS = forked_process.REPORT_SECONDS = 1.0
def have_patience(*_):
    forking.FORK_SECONDS = patient
    Path("~/patient").expanduser().touch()
signal.signal(signal.SIGUSR1, have_patience)
LENIENT
from worker.__main__ import main
sys.exit(main())
"""
# The server that hangs is not killed, so that it goes on later with what it was asked for.
LENIENT = IMPATIENT.replace("LENIENT", "forking.ForkServer._give_up = lambda *_: None")
IMPATIENT = IMPATIENT.replace("LENIENT", "")


def have_patience(worker: Worker) -> None:
    """From now on a fork may take as long as anywhere."""
    worker.process.send_signal(signal.SIGUSR1)
    wait_for((worker.home / "patient").exists, "the worker has patience")


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def test_runs_outlive_their_server_and_the_next_ones_are_started_at_once(
    api: Api, start: StartWorker, trial: Trial, tmp_path: Path
) -> None:
    worker = start().ready()
    server = worker.fork_server()
    runs = [api.start("until", worker.queue, **trial.files)]
    trial.begun()
    os.kill(server, signal.SIGKILL)
    wait_for(lambda: "The fork server ended with status -9: 1 engine" in worker.log.read_text(), "the worker's word")
    runs.append(api.start("until", worker.queue, **trial.files))
    assert parent(trial.begun(times=2)) in {worker.process.pid, worker.fork_server(2)}
    later = Trial(tmp_path)
    worker.fork_server(2)
    runs.append(api.start("until", worker.queue, **later.files))
    assert parent(later.begun()) == worker.fork_server(2)
    trial.let_end()
    later.let_end()
    assert [api.wait_state(run, *END) for run in runs] == ["COMPLETED"] * 3
    assert len(trial.lines("begin")) == len(trial.lines("end")) == 2
    worker.systemd.wait("0 runs in flight", len(worker.systemd.messages))
    assert worker.term().exit() == 0


@pytest.mark.parametrize("server_dead", [True, False])
def test_engine_that_dies_without_a_server_to_report_it_is_crashed(
    api: Api, start: StartWorker, trial: Trial, server_dead: bool
) -> None:
    worker = start(launch=IMPATIENT).ready()
    have_patience(worker)
    server = worker.fork_server()
    run = api.start("hooked", worker.queue, **trial.files)
    engine = trial.begun()
    assert parent(engine) == server
    os.kill(server, signal.SIGKILL if server_dead else signal.SIGSTOP)
    if server_dead:
        wait_for(lambda: not alive(server), "the server is dead")
    os.kill(engine, signal.SIGKILL)
    assert api.wait_state(run, *END) == "CRASHED"
    if not server_dead:
        assert "status code: -9" in api.run(run)["state"]["message"]
    wait_for(lambda: trial.lines("hook Crashed"), "the crash hook")
    worker.fork_server(2)


def test_server_that_hangs_is_replaced_and_its_run_started_once(api: Api, start: StartWorker, trial: Trial) -> None:
    worker = start(launch=IMPATIENT).ready()
    server = worker.fork_server()
    os.kill(server, signal.SIGSTOP)
    run = api.start("until", worker.queue, **trial.files)
    assert parent(trial.begun()) == worker.process.pid
    assert "The fork server does not fork within 1 s" in worker.log.read_text()
    worker.fork_server(2)
    assert not alive(server)
    trial.let_end()
    assert api.wait_state(run, *END) == "COMPLETED"
    assert len(trial.lines("begin")) == len(trial.lines("end")) == 1


def test_server_that_does_not_get_warm_is_replaced(api: Api, execute: StartWorker, trial: Trial) -> None:
    worker = execute(
        launch=IMPATIENT.replace("from worker.__main__", "forking.WARM_SECONDS = 20.0\nfrom worker.__main__")
    )
    os.kill(server := worker.cold_fork_server(), signal.SIGSTOP)
    worker.ready()
    run = api.start("until", worker.queue, **trial.files)
    assert parent(trial.begun()) == worker.process.pid
    assert "The fork server is not warm after 20 s: it is killed" in worker.log.read_text()
    assert not alive(server)
    trial.let_end()
    assert api.wait_state(run, *END) == "COMPLETED"


def test_run_that_was_given_up_is_not_started_by_a_server_that_goes_on(
    api: Api, start: StartWorker, trial: Trial, tmp_path: Path
) -> None:
    worker = start(launch=LENIENT).ready()
    server = worker.fork_server()
    os.kill(server, signal.SIGSTOP)
    run = api.start("until", worker.queue, **trial.files)
    assert parent(trial.begun()) == worker.process.pid
    have_patience(worker)
    os.kill(server, signal.SIGCONT)
    # It forks what it was asked for first; when the second runs, the first child has come and gone.
    later = Trial(tmp_path)
    second = api.start("until", worker.queue, **later.files)
    assert parent(later.begun()) == server
    children = Path(f"/proc/{server}/task/{server}/children")
    wait_for(lambda: len(children.read_text().split()) == 1, "the first child is gone")
    assert len(trial.lines("begin")) == 1
    trial.let_end()
    later.let_end()
    assert [api.wait_state(one, *END) for one in (run, second)] == ["COMPLETED"] * 2
    assert len(trial.lines("begin")) == len(trial.lines("end")) == 1


def test_worker_killed_before_the_go_starts_nothing(api: Api, start: StartWorker, trial: Trial) -> None:
    worker = start(launch=IMPATIENT.replace("from worker.__main__", NO_GO + "from worker.__main__")).ready()
    worker.fork_server()
    api.start("until", worker.queue, **trial.files)
    wait_for((worker.home / "prepared").exists, "a child that waits for its go")
    child = int((worker.home / "prepared").read_text())
    assert alive(child)
    worker.process.kill()
    worker.process.wait()
    wait_for(lambda: not alive(child), "the child has ended")
    assert not trial.lines("begin")


NO_GO = """
from pathlib import Path
prepared = forked_process.ForkedProcess.prepared
forking.FORK_SECONDS = 600.0
async def wait(self, line, order):
    await prepared(self, line, order)
    Path("~/prepared").expanduser().write_text(str(self.pid))
    import anyio
    await anyio.sleep(600)
forked_process.ForkedProcess.prepared = wait
"""

THREADED = """
import sys, threading, time
threading.Thread(target=time.sleep, args=[600], daemon=True).start()
from worker import fork_server
fork_server.PRELOAD = ("json",)
sys.argv = ["", sys.argv[1]]
fork_server.main()
"""


def test_server_with_a_second_thread_refuses_to_fork(tmp_path: Path) -> None:
    control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with control, theirs:
        command = [sys.executable, "-c", THREADED, str(theirs.fileno())]
        server = subprocess.Popen(
            command, env=environment(tmp_path), pass_fds=[theirs.fileno()], stderr=subprocess.PIPE, text=True
        )
        control.recv(65536)
        line, other = socket.socketpair()
        with line, other:
            socket.send_fds(control, [b"1"], [other.fileno()])
            assert server.wait(180) == 78
    assert server.stderr
    assert "2 threads run here" in server.stderr.read()


def test_worker_goes_on_without_a_server_that_refuses(api: Api, execute: StartWorker, trial: Trial) -> None:
    worker = execute(PREFECT_PLUGINS_ENABLED="true").ready()
    run = api.start("until", worker.queue, **trial.files)
    assert parent(trial.begun()) == worker.process.pid
    log = worker.log.read_text()
    assert "plugins are enabled (PREFECT_PLUGINS_ENABLED)" in log
    assert "The fork server refuses" in log
    trial.let_end()
    assert api.wait_state(run, *END) == "COMPLETED"


async def test_without_a_server_nothing_is_forked() -> None:
    order = {"flow_run": "", "environment": {}, "cwd": "/", "silent": False}
    assert await ForkServer().fork(order, lambda: True) is None  # type: ignore[arg-type]
