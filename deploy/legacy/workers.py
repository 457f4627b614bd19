"""Workers that were started by other means: frozen while the new ones prove themselves, then retired, or thawed."""

from __future__ import annotations

import signal
import subprocess
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from deploy.legacy.ends import end, set_aside, shut_out
from deploy.legacy.find import everyone
from deploy.legacy.hold import STOPPED, Held, go_on, let_go, start
from deploy.legacy.units import is_ours
from deploy.legacy.uvloop import remove
from deploy.onhost.common import HostError, counted, must, say
from deploy.onhost.prefect_api import Access, FlowRun, flow_runs
from deploy.onhost.processes import alive, children, send, stat
from deploy.onhost.state import Legacy, LegacyUnit, Process
from deploy.onhost.wire import Places, Query

if TYPE_CHECKING:
    from collections.abc import Sequence

RECENT_SECONDS = 120
TRIES = 15
TELL_SECONDS = 15


@dataclass(frozen=True)
class Room:
    """The workers that serve under the name of a unit of ours, and how many seconds their runs are waited for."""

    drain_seconds: float
    legacy: tuple[Legacy, ...]


@dataclass(frozen=True, kw_only=True)
class LegacyWorkers(Query):
    """`phase`: freeze, thaw or retire. `legacy_units`: the names of those that are shut out.

    `in_the_way`: units whose names ours take. `holder`: the program that holds them, in base64, to freeze them.
    """

    phase: str
    legacy: tuple[Legacy, ...]
    legacy_units: tuple[str, ...]
    in_the_way: tuple[LegacyUnit, ...]
    holder: str
    pool: str
    drain_seconds: float
    access: Access


def pending(query: LegacyWorkers) -> int:
    """Runs that a legacy worker of this host may just have claimed and not yet started."""
    names = {item.name for item in query.legacy}
    runs = flow_runs(query.access, query.pool, {"state": {"type": {"any_": ["PENDING"]}}})
    return sum(time.time() - run.since.timestamp() < RECENT_SECONDS and may_be_of(names, run) for run in runs)


def may_be_of(names: set[str], run: FlowRun) -> bool:
    """Whether a claimed run may belong to one of these workers: it has its worker's label, or none yet.

    An empty name stands for a worker whose name is not known: then every run may be its own.
    """
    return "" in names or run.worker in names | {""}


def freeze(query: LegacyWorkers) -> int:
    """Stops the polling of all legacy workers, at a moment when none has a run between claim and start."""
    items = [item for item in query.legacy if alive(item)]
    if not items:
        return 0
    held = tuple(Process(item.pid, item.ticks) for item in items)
    start(query.holder, Held(query.token, held, query.in_the_way, query.places))
    why = ""
    for _ in range(TRIES):
        if not (why := stop(query, items)):
            say(f"legacy workers poll no more ({counted(len(items), 'process', 'processes')}); their runs go on")
            return 0
        go_on(items)
        time.sleep(2)
    say(why)
    return 1


def stop(query: LegacyWorkers, items: Sequence[Legacy]) -> str:
    """Stops them all; why that will not do, or nothing."""
    for item in items:
        send(item, signal.SIGSTOP)
    try:
        claimed = pending(query)
    except OSError as error:
        return f"legacy workers were left polling: the server did not say what they have claimed ({error})"
    if claimed:
        rest = "between claim and start; they were left polling. Try again when it is quiet."
        return f"legacy workers keep {counted(claimed, 'run', 'runs')} {rest}"
    awake = [item for item in items if alive(item) and stat(item.pid)[:1] != [STOPPED]]
    who = ", ".join(f"{item.name or '(no name)'} (pid {item.pid}, user {item.user})" for item in awake)
    return f"legacy workers do not stay stopped, somebody wakes them: {who}" if awake else ""


def thaw(query: LegacyWorkers) -> int:
    """Lets them poll again, those too whose place one of ours had taken."""
    let_go(query.legacy, query.in_the_way, query.places)
    say("legacy workers poll again")
    return 0


def wait_for_runs(items: Sequence[Legacy], limit: float) -> dict[int, int]:
    """Waits until the runs of all these workers have ended; pid → how many have not, after `limit` seconds."""
    deadline, told = time.monotonic() + limit, 0.0
    while True:
        left = {item.pid: len(children(item.pid)) for item in items if alive(item)}
        running = {item.name or item.pid: left[item.pid] for item in items if left.get(item.pid)}
        if not running or time.monotonic() > deadline:
            return left
        if time.monotonic() - told > TELL_SECONDS:
            words = ", ".join(f"{name} ({counted(count, 'process', 'processes')})" for name, count in running.items())
            say(f"legacy workers: waiting for the runs of {words}")
            told = time.monotonic()
        time.sleep(0.5)


def end_all(items: Sequence[Legacy], seconds: float, places: Places) -> None:
    """Each of these after its runs, and says what becomes of those that do not end."""
    left = wait_for_runs(items, seconds)
    for item in [one for one in items if alive(one)]:
        end(item, places)
        running = left.get(item.pid, 0)
        rest = (
            f"; {counted(running, 'process of its runs goes', 'processes of its runs go')} on without it"
            if running
            else ""
        )
        say(f"legacy worker {item.name or item.pid} is retired{rest}")


def make_room(unit: str, places: Places, room: Room | None) -> None:
    """Workers that serve under the name of a unit of ours go before that one comes; nothing where there are none."""
    if room is None or is_ours(str(places.units / unit), str(places.base)):
        return
    say(f"{unit} is not of this deploy: its worker is retired after its runs, and comes back if the new one fails")
    end_all([replace(item, how="wrapper") for item in room.legacy], room.drain_seconds, places)
    subprocess.run(["systemctl", "disable", "--quiet", "--now", unit], check=False, capture_output=True)
    set_aside(unit, places)
    must("systemctl", "daemon-reload")


def retire(query: LegacyWorkers) -> int:
    """All of them, each after its runs; then their units, those too that were not running."""
    for item in query.legacy:
        for found in item.uvloop:
            remove(found, item.uid, vouched=bool(item.unit))
    end_all(query.legacy, query.drain_seconds, query.places)
    for unit in query.legacy_units:
        subprocess.run(["systemctl", "stop", unit], check=False, capture_output=True)
        shut_out(unit, query.places)
    must("systemctl", "daemon-reload")
    known = {item.pid for item in query.legacy}
    for item in everyone(str(query.places.units), str(query.places.base))[0]:
        if item.pid not in known:
            who = f"pid {item.pid}, user {item.user}"
            say(f"a worker was started again ({who}) by {item.origin}: end what does so, then deploy again")
    return 0


def main(query: LegacyWorkers) -> int:
    """0: done. 1: it could not be, and was said why."""
    try:
        return {"freeze": freeze, "thaw": thaw, "retire": retire}[query.phase](query)
    except HostError as error:
        say(f"legacy workers: {error}")
        return 1
