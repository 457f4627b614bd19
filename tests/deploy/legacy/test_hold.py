"""Frozen workers stay frozen as long as the deploy lives, also without its operator, and go on when it dies."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING, TextIO

import pytest

from deploy import remote
from deploy.legacy import hold
from deploy.onhost import lock, processes
from deploy.onhost.state import LegacyUnit, Process
from deploy.onhost.wire import Places, encode
from sandbox.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# It outlives its worker: one that waited for its input would end with it.
RUN = (
    "import sys, time\n"
    "for _ in range(40): sys.stdout.write('x' * 65536)\n"
    "print('all said', flush=True)\n"
    "time.sleep(600)"
)
WORKER = (
    "import subprocess as s, sys, time\n"
    f"p = s.Popen([sys.executable, '-S', '-c', {RUN!r}], stdout=s.PIPE)\n"
    "print(p.pid, flush=True)\n"
    "time.sleep(600)\n"
)


def state(pid: int) -> str:
    return (processes.stat(pid) or [""])[0]


class Held:
    """A worker with a run that writes more than a pipe holds, and the unit's own program that holds it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.said = folder / "said"
        start = [sys.executable, "-S", "-c", WORKER]
        self.worker = subprocess.Popen(start, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.worker.stdout is not None
        self.run = int(self.worker.stdout.readline())
        self.item = Process(self.worker.pid, processes.ticks(self.worker.pid))
        self.holder: subprocess.Popen[str] | None = None
        self.in_the_way: tuple[LegacyUnit, ...] = ()
        self.work: TextIO | None = None

    def lock(self, owner: str = "mine", age: float = 0.0) -> None:
        held = {"token": owner, "who": "x", "since": "now", "what": "y", "began": 0.0, "refreshed": lock.now() - age}
        (self.folder / "lock").write_text(json.dumps(held))

    def hold(self, **more: str) -> None:
        places = Places(lock=self.folder, retired=self.folder / "retired", units=self.folder / "units")
        told = encode(hold.Held("mine", (self.item,), self.in_the_way, places))
        environment = {"PATH": f"{self.folder}:{os.environ['PATH']}", "HUBLAB_HELD": told, **more}
        with self.said.open("ab") as said:
            command = [sys.executable, "-I", "-"]
            self.holder = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=said, text=True)
        assert self.holder.stdin is not None
        self.holder.stdin.write(remote.program(hold.Hold()))
        self.holder.stdin.close()

    def step(self, *, runs: bool) -> None:
        """Whether a step of the deploy runs on the host: it has the right to change it."""
        if runs:
            self.work = lock.try_work(self.folder)
            assert self.work
        elif self.work:
            self.work.close()

    def end(self) -> None:
        for pid in (self.run, self.worker.pid):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self.worker.communicate(timeout=180)
        if self.holder:
            self.holder.kill()
            self.holder.wait(180)


@pytest.fixture
def held(tmp_path: Path) -> Iterator[Held]:
    found = Held(tmp_path)
    found.lock()
    yield found
    found.end()


def test_output_of_a_frozen_workers_run_is_read(held: Held) -> None:
    held.hold()
    assert processes.send(held.item, signal.SIGSTOP)
    wait_for(lambda: held.said.read_bytes().endswith(b"all said\n"), "the run waits for its pipe")
    assert state(held.worker.pid) == "T"


def test_worker_that_reads_for_itself_is_not_robbed(held: Held) -> None:
    held.hold()
    time.sleep(2 * hold.LOOK_SECONDS)
    assert held.said.read_bytes() == b""
    assert state(held.run) == "S"


def test_fresh_lock_keeps_them_frozen_and_a_lost_one_does_not(held: Held) -> None:
    processes.send(held.item, signal.SIGSTOP)
    held.hold()
    wait_for(lambda: b"all said" in held.said.read_bytes(), "not held")
    assert state(held.worker.pid) == "T"
    held.lock(age=lock.LEASE_SECONDS + 1)
    wait_for(lambda: state(held.worker.pid) == "S", "still frozen")
    assert held.holder is not None
    assert held.holder.wait(180) == 0
    assert b"poll again" in held.said.read_bytes()


@pytest.mark.parametrize("token", ["another", ""])
def test_lock_of_somebody_else_or_none_lets_them_go(held: Held, token: str) -> None:
    processes.send(held.item, signal.SIGSTOP)
    held.lock(token) if token else (held.folder / "lock").unlink()
    held.hold()
    wait_for(lambda: state(held.worker.pid) == "S", "still frozen")


def test_step_that_outlives_its_operator_keeps_them_frozen(held: Held) -> None:
    """The lease is over, the operator gone; the host goes on with what was begun: retiring one after the other."""
    processes.send(held.item, signal.SIGSTOP)
    held.step(runs=True)
    held.lock(age=10 * lock.LEASE_SECONDS)
    held.hold()
    wait_for(lambda: b"all said" in held.said.read_bytes(), "not held")
    assert state(held.worker.pid) == "T"
    held.step(runs=False)
    wait_for(lambda: state(held.worker.pid) == "S", "still frozen")


def test_runs_of_a_worker_that_is_gone_are_read_to_their_end(held: Held) -> None:
    """After the limit its worker is ended, and the deploy too: what the run still writes must not end it."""
    held.hold()
    processes.send(held.item, signal.SIGSTOP)
    wait_for(held.said.read_bytes, "nothing is read")
    held.worker.kill()
    held.worker.wait(180)
    (held.folder / "lock").unlink()
    wait_for(lambda: b"all said" in held.said.read_bytes(), "the run's words were lost")
    assert held.holder is not None
    assert held.holder.poll() is None
    os.kill(held.run, signal.SIGKILL)
    assert held.holder.wait(180) == 0


def test_holder_that_is_killed_is_followed_by_one_that_lets_them_go(held: Held) -> None:
    """As systemd runs ExecStopPost=, with the result of what it follows."""
    processes.send(held.item, signal.SIGSTOP)
    held.hold(SERVICE_RESULT="signal")
    wait_for(lambda: state(held.worker.pid) == "S", "still frozen")
    assert held.holder is not None
    assert held.holder.wait(180) == 0


@pytest.mark.parametrize("ours", [False, True])
def test_unit_that_made_room_comes_back_unless_ours_is_there(held: Held, ours: bool) -> None:
    """The operator's machine died in between: the host itself puts back what has no successor."""
    name = "prefect-worker@1.service"
    units, retired = held.folder / "units", held.folder / "retired"
    for folder in (units, retired):
        folder.mkdir()
    (retired / name).write_text("theirs")
    if ours:
        (units / name).write_text("ours")
    (held.folder / "systemctl").write_text("#!/bin/sh\n")
    (held.folder / "systemctl").chmod(0o755)
    held.in_the_way = (LegacyUnit(name, str(units / name), active=True, enabled=True),)
    (held.folder / "lock").unlink()
    held.hold()
    assert held.holder is not None
    assert held.holder.wait(180) == 0
    assert (units / name).read_text() == ("ours" if ours else "theirs")
    assert (b"serves again as it did before" in held.said.read_bytes()) is not ours


def test_pipe_that_was_swapped_for_something_else_is_not_opened(tmp_path: Path) -> None:
    """Opened as root, a device does things: a watchdog begins to count. So only that very pipe is."""
    reading, writing = os.pipe()
    inode = os.fstat(reading).st_ino
    named = tmp_path / "fifo"
    os.mkfifo(named)
    try:
        for path in ("/dev/null", str(named), str(tmp_path / "nothing")):
            assert processes.opened(path, inode) is None
        descriptor = processes.opened(f"/proc/self/fd/{reading}", inode)
        assert descriptor is not None
        os.write(writing, b"words")
        assert os.read(descriptor, 10) == b"words"
        os.close(descriptor)
    finally:
        os.close(reading)
        os.close(writing)


def test_signal_reaches_this_process_or_none() -> None:
    child = subprocess.Popen([sys.executable, "-S", "-c", "input()"], stdin=subprocess.PIPE)
    item = Process(child.pid, processes.ticks(child.pid))
    assert not processes.send(replace(item, ticks=item.ticks + 1), signal.SIGKILL)
    assert child.poll() is None
    assert processes.send(item, signal.SIGKILL)
    child.communicate(timeout=180)
    assert child.returncode == -signal.SIGKILL
    assert not processes.send(item, signal.SIGKILL)


def test_program_fits_into_one_argument() -> None:
    """It reaches its unit as a property of it: the kernel takes 128 KiB at once, and base64 adds a third."""
    assert len(remote.program(hold.Hold())) * 4 / 3 < 128 * 1024
