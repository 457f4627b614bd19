"""Former workers stay frozen as long as the deploy lives, and go on if it dies; runs as a unit of the host's own.

A deploy lives while its lock is fresh, or a step that it began still runs. Meanwhile this reads, into the journal, what
the runs of a frozen worker write: one whose worker reads no more waits as soon as the pipe is full, and dies by it once
the worker is gone. When the unit ends, however it ends, systemd runs this again to let all go on.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from deploy.legacy.ends import come_back
from deploy.onhost.common import HostError, must, say
from deploy.onhost.lock import at_work, guarded, holder, orphaned
from deploy.onhost.processes import alive, opened, output_pipes, send, stat
from deploy.onhost.state import LegacyUnit, Process
from deploy.onhost.wire import Places, Query, decode, encode

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

UNIT = "hublab-legacy-output-{token}"
LOOK_SECONDS = 0.5
# A worker that was ended a moment ago still looks alive; to take it for one that reads for itself would end its runs.
SETTLE_SECONDS = 5.0
PIECE = 65536
MOST_PIPES = 500  # each run has two; a process may have no more than 1,024 files open
STOPPED = "T"


@dataclass(frozen=True, kw_only=True)
class Hold(Query):
    """Nothing: what it holds is in its environment, since systemd runs it twice."""


@dataclass(frozen=True)
class Held:
    """The workers of a deploy, by the token of its lock; and the units that made room."""

    token: str
    items: tuple[Process, ...]
    in_the_way: tuple[LegacyUnit, ...]
    places: Places


def start(program: str, held: Held) -> None:
    """Starts it; what it is told and what it runs are nobody's secret.

    Raises:
        HostError: systemd did not start it.
    """
    python = [sys.executable, "-I", "-"]
    must(
        *("systemd-run", "--quiet", "--collect", "--service-type=exec", f"--unit={name(held.token)}"),
        "--description=Holds former workers while the new ones are proven, and reads what their runs write",
        *("--property=StandardInput=data", f"--property=StandardInputData={program}"),
        *(f"--property=ExecStopPost={' '.join(python)}", f"--setenv=HUBLAB_HELD={encode(held)}", *python),
    )


def name(token: str) -> str:
    """The unit of one deploy."""
    return UNIT.format(token=token)


def lives(folder: Path, token: str) -> bool:
    """Whether the deploy that holds the workers is at work: its own lock is fresh, or a step of it runs."""
    with guarded(folder):
        held, busy = holder(folder), at_work(folder)
    return busy or bool(held and held.token == token and not orphaned(held))


def go_on(items: Iterable[Process]) -> None:
    """All that are still there poll again."""
    for item in items:
        send(item, signal.SIGCONT)


def let_go(items: Iterable[Process], in_the_way: Iterable[LegacyUnit], places: Places) -> None:
    """All go on, those too whose place a worker of ours should have taken, and has not."""
    go_on(items)
    for unit in in_the_way:
        try:
            come_back(unit, places)
        except HostError as error:
            say(f"{unit.name} could not come back: {error}")


class Reader:
    """The pipes of frozen workers' runs, read into the journal; a pipe's worker is in `pipes` with its inode."""

    def __init__(self) -> None:
        self.pipes: dict[int, tuple[int, int]] = {}
        self.awake: set[int] = set()

    def take(self, items: Iterable[Process]) -> None:
        """Opens what the runs of stopped workers write into; those of one that is gone may go on writing.

        One that is awake reads for itself, or is about to end: its pipes stay open, since to close the last end that
        reads would end its runs.
        """
        self.awake = set()
        for item in items:
            if alive(item):
                if stat(item.pid)[:1] == [STOPPED]:
                    self.add(item.pid)
                else:
                    self.awake.add(item.pid)

    def add(self, pid: int) -> None:
        """The pipes of one worker, but for those that are read already."""
        known = {inode for owner, inode in self.pipes.values() if owner == pid}
        for inode, path in output_pipes(pid).items():
            descriptor = opened(path, inode) if inode not in known and len(self.pipes) < MOST_PIPES else None
            if descriptor is not None:
                self.pipes[descriptor] = (pid, inode)

    def drop(self, items: Iterable[Process]) -> None:
        """Those of these workers that are still there read for themselves."""
        there = {item.pid for item in items if alive(item)}
        for descriptor in [one for one, (owner, _) in self.pipes.items() if owner in there]:
            self.close(descriptor)

    def close(self, descriptor: int) -> None:
        """One pipe has ended, or is another's again."""
        os.close(descriptor)
        del self.pipes[descriptor]

    def read(self) -> None:
        """What is there, for at most LOOK_SECONDS."""
        ready = select.poll()
        for descriptor, (owner, _) in self.pipes.items():
            if owner not in self.awake:
                ready.register(descriptor, select.POLLIN)
        for descriptor, _ in ready.poll(LOOK_SECONDS * 1000):
            with contextlib.suppress(BlockingIOError):
                if piece := os.read(descriptor, PIECE):
                    os.write(sys.stdout.fileno(), piece)
                else:
                    self.close(descriptor)


def main(_: Hold) -> int:
    """Holds; or, as what systemd runs when that has ended, lets go on."""
    told = decode(Held, os.environ["HUBLAB_HELD"])
    if "SERVICE_RESULT" in os.environ:
        let_go(told.items, told.in_the_way, told.places)
        return 0
    reader, held = Reader(), told.items
    while held or reader.pipes:
        if held and not lives(told.places.lock, told.token):
            say("the deploy has ended: workers that are still there poll again")
            let_go(held, told.in_the_way, told.places)
            time.sleep(SETTLE_SECONDS)
            reader.drop(held)
            held = ()
        reader.take(held)
        reader.read()
    return 0
