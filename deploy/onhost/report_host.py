"""What a host does right now, as one JSON object: workers' own words, lock, deploys, queue. Changes nothing."""

from __future__ import annotations

import datetime
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from deploy.onhost.common import ask
from deploy.onhost.inspect_host import InspectHost, facts
from deploy.onhost.left_runs import LeftRun, left_runs
from deploy.onhost.lock import at_work, describe, guarded, holder, orphaned
from deploy.onhost.prefect_api import Access, in_pool, request
from deploy.onhost.record import Line, deploys
from deploy.onhost.state import HostState
from deploy.onhost.untrusted import printable
from deploy.onhost.wire import Query, encode

if TYPE_CHECKING:
    from pathlib import Path

HTTP_OK = 200


@dataclass(frozen=True, kw_only=True)
class ReportHost(Query):
    """With `inspect` the state is asked for too, and no history."""

    inspect: InspectHost | None
    unit: str
    pool: str
    access: Access


@dataclass(frozen=True)
class Locked:
    """Who holds a host, in words."""

    words: str
    orphaned: bool


@dataclass(frozen=True)
class Queue:
    """How many flow runs are due and not taken, and how many of them Prefect calls late."""

    depth: int
    late: int


@dataclass(frozen=True)
class Report:
    """What a host does right now. `doing`: unit → the worker's own words; `queue`: None when Prefect did not answer.

    `left`: flow runs that nobody is about to run, though they are not done.
    `history` is there when nothing but it was asked for, `state` otherwise.
    """

    state: HostState = field(default_factory=HostState)
    doing: dict[str, str] = field(default_factory=dict)
    history: tuple[Line, ...] = ()
    lock: Locked | None = None
    queue: Queue | None = None
    left: tuple[LeftRun, ...] = ()


def doing(units: list[str]) -> dict[str, str]:
    """What each worker says of itself, by unit; where it says nothing, what systemd says."""
    found = {}
    for block in ask("systemctl", "show", "--property=Id,StatusText,ActiveState", *units).strip().split("\n\n"):
        shown = dict(line.partition("=")[::2] for line in block.splitlines())
        if "Id" in shown:
            running = shown.get("ActiveState") in ("active", "activating", "deactivating", "reloading")
            words = (running and shown.get("StatusText")) or shown.get("ActiveState", "unknown")
            found[shown["Id"]] = printable(words)
    return found


def lock(folder: Path) -> Locked | None:
    """Who holds the host; None when nobody does."""
    if not folder.is_dir():
        return None
    with guarded(folder):
        held, busy = holder(folder), at_work(folder)
    if held is None:
        return Locked("a step of a deploy without an owner is ending", orphaned=True) if busy else None
    return Locked(describe(held), orphaned(held))


def queue(access: Access, pool: str) -> Queue | None:
    """What a pool's workers have before them; None when Prefect does not answer."""
    due = {"before_": datetime.datetime.now(datetime.UTC).isoformat()}
    scheduled = {"state": {"type": {"any_": ["SCHEDULED"]}}, "next_scheduled_start_time": due}
    marked = {"state": {"name": {"any_": ["Late"]}}}
    try:
        depth = request(access, "/flow_runs/count", {"flow_runs": scheduled, **in_pool(pool)})
        late = request(access, "/flow_runs/count", {"flow_runs": marked, **in_pool(pool)})
        return Queue(int(depth), int(late))
    except (OSError, ValueError, TypeError):
        return None


def report(query: ReportHost) -> Report:
    """Everything; with a question for `inspect_host.py` also what that one finds."""
    held = lock(query.places.lock)
    if query.inspect is None:
        return Report(history=deploys(query.places.record), lock=held)
    state = facts(query.inspect)
    units = [f"{query.unit}{number}.service" for number in sorted(state.workers)]
    answers = state.api_status == HTTP_OK
    return Report(
        state,
        doing(units) if units else {},
        lock=held,
        queue=queue(query.access, query.pool) if answers else None,
        left=(left_runs(query.access, query.pool, state.online) or ()) if answers else (),
    )


def main(query: ReportHost) -> None:
    """Prints it."""
    print(encode(report(query)))
