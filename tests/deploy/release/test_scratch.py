"""Two deploys of one checkout do not spoil what the other makes or uploads."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from typing import TYPE_CHECKING

from deploy.release import scratch

if TYPE_CHECKING:
    from multiprocessing.synchronize import Event
    from pathlib import Path


def hold(folder: Path, held: Event, enough: Event) -> None:
    with scratch.alone(folder):
        held.set()
        enough.wait(20)


def test_another_process_waits_for_its_turn(tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    held, enough = spawn.Event(), spawn.Event()
    other = spawn.Process(target=hold, args=(tmp_path / "new", held, enough))
    other.start()
    assert held.wait(20)
    timer = threading.Timer(0.5, enough.set)
    timer.start()
    with scratch.alone(tmp_path / "new"):
        assert enough.is_set(), "it did not wait"
    other.join(20)
    assert other.exitcode == 0


def test_the_turn_of_a_process_that_was_killed_is_over(tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    held, enough = spawn.Event(), spawn.Event()
    other = spawn.Process(target=hold, args=(tmp_path, held, enough))
    other.start()
    assert held.wait(20)
    other.kill()
    with scratch.alone(tmp_path):
        pass
    other.join(20)


def test_only_what_is_old_is_removed(tmp_path: Path) -> None:
    for name, age in (("old.tar", scratch.KEEP_SECONDS + 60), ("new.tar", 60), ("old.txt", scratch.KEEP_SECONDS * 2)):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (time.time() - age, time.time() - age))
    scratch.prune(tmp_path, "*.tar")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new.tar", "old.txt"]
