"""Workers that others started: their runs are waited for."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from deploy.legacy import workers
from deploy.onhost import processes
from deploy.onhost.prefect_api import FlowRun, moment
from deploy.onhost.state import Legacy, Process
from tests.deploy.factories import legacy

if TYPE_CHECKING:
    from collections.abc import Iterator


def item_of(pid: int) -> Legacy:
    return legacy(pid=pid, ticks=processes.ticks(pid), name="old")


FOREVER = [sys.executable, "-S", "-c", "input()"]


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    """A short-lived process of ours; ends with its standard input."""
    child = subprocess.Popen(FOREVER, stdin=subprocess.PIPE)
    yield child
    child.communicate(timeout=180)


def until_ended(pid: int) -> None:
    """Until it is a zombie, that is: ended, and not yet collected by us."""
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)


def test_running_process_tells_its_state_and_parent(process: subprocess.Popen[bytes]) -> None:
    fields = processes.stat(process.pid)
    assert fields[0] in "RSD"
    assert int(fields[1]) == os.getpid()


def test_stat_of_a_zombie_and_of_nothing(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    until_ended(process.pid)
    assert Path(f"/proc/{process.pid}/stat").exists()
    assert processes.stat(process.pid) == []
    process.wait(timeout=180)
    assert processes.stat(process.pid) == []


def test_same_process_is_alive_and_another_of_its_pid_is_not(process: subprocess.Popen[bytes]) -> None:
    item = Process(process.pid, processes.ticks(process.pid))
    assert abs(processes.started(process.pid) - time.time()) < 30
    assert processes.alive(item)
    assert not processes.alive(replace(item, ticks=item.ticks - 1))
    process.kill()
    until_ended(process.pid)
    assert not processes.alive(item)


def test_children_are_all_that_still_run(process: subprocess.Popen[bytes]) -> None:
    assert process.pid in processes.children(os.getpid())
    assert processes.children(process.pid) == []
    process.kill()
    until_ended(process.pid)
    assert process.pid not in processes.children(os.getpid())


def test_runs_that_a_grandchild_has_count() -> None:
    """A run of a worker starts helpers of its own."""
    code = "import subprocess, sys; p = subprocess.Popen(['cat']); print(p.pid, flush=True); p.wait()"
    outer = subprocess.Popen([sys.executable, "-S", "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert outer.stdout is not None
        inner = int(outer.stdout.readline())
        assert processes.children(outer.pid) == [inner]
        assert {outer.pid, inner} <= set(processes.children(os.getpid()))
    finally:
        outer.communicate(timeout=180)


LOUD = "import sys; sys.stdout.write('x' * 1_000_000); sys.stderr.write('y' * 1_000_000)"
WORKER = (
    "import subprocess as s, sys, time\n"
    f"p = s.Popen([sys.executable, '-S', '-c', {LOUD!r}], stdout=s.PIPE, stderr=s.PIPE)\n"
    "print(p.pid, flush=True)\n"
    "time.sleep(60)\n"
)


def test_output_of_a_frozen_workers_runs_can_be_read_by_another(tmp_path: Path) -> None:
    """A worker that reads no more: its run waits for the pipe, until somebody else reads it."""
    worker = subprocess.Popen([sys.executable, "-S", "-c", WORKER], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert worker.stdout is not None
        run = int(worker.stdout.readline())
        worker.send_signal(signal.SIGSTOP)
        pipes = list(processes.output_pipes(worker.pid).values())
        assert len(pipes) == 2
        time.sleep(0.5)
        assert processes.stat(run), "the run did not wait for its pipe: this test shows nothing"
        both = f"cat {pipes[0]} > {tmp_path}/0 & cat {pipes[1]} > {tmp_path}/1 & wait"
        subprocess.run(["/bin/sh", "-c", both], check=True, timeout=180)
        assert [(tmp_path / name).stat().st_size for name in ("0", "1")] == [1_000_000, 1_000_000]
        assert workers.wait_for_runs([item_of(worker.pid)], 30) == {worker.pid: 0}
        assert processes.output_pipes(worker.pid) == {}
    finally:
        worker.kill()
        worker.communicate(timeout=180)


def test_runs_are_waited_for_up_to_a_limit(
    process: subprocess.Popen[bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    busy, idle = item_of(os.getpid()), item_of(process.pid)
    assert workers.wait_for_runs([busy, idle], 0.1)[os.getpid()] >= 1
    assert "legacy workers: waiting for the runs of old (" in capsys.readouterr().out
    assert workers.wait_for_runs([idle], 60) == {process.pid: 0}


def test_signal_to_what_is_gone_is_no_error() -> None:
    gone = subprocess.Popen(FOREVER, stdin=subprocess.PIPE)
    gone.communicate(timeout=180)
    assert not processes.send(item_of(gone.pid), signal.SIGCONT)


@pytest.fixture
def summer(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A host whose clock on the wall is ahead of UTC, and an hour more in summer."""
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("summer")
@pytest.mark.parametrize("written", ["2026-07-01T12:00:00Z", "2026-07-01T12:00:00.123456+00:00", "2026-07-01T12:00:00"])
def test_moment_of_a_claim_does_not_depend_on_the_hosts_clock_on_the_wall(written: str) -> None:
    assert int(moment(written).timestamp()) == 1_782_907_200


@pytest.mark.parametrize(
    ("names", "labels", "may"),
    [
        ({"old"}, {"prefect.worker.name": "old"}, True),
        ({"old"}, {}, True),
        ({"old"}, None, True),
        ({"old"}, {"prefect.worker.name": "hublab-2-1"}, False),
        ({"old", ""}, {"prefect.worker.name": "ProcessWorker 1f"}, True),
    ],
)
def test_run_that_another_worker_has_claimed_holds_nobody_up(
    names: set[str], labels: dict[str, str] | None, may: bool
) -> None:
    state = {"type": "PENDING", "name": "Pending", "timestamp": "2026-07-01T12:00:00Z"}
    run = FlowRun.of({"id": "r", "name": "n", "state": state, "labels": labels})
    assert workers.may_be_of(names, run) is may
