"""What a host does right now, as one JSON object: workers' own words, lock, deploys, queue. Changes nothing."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Any

from deploy.onhost.common import ask
from deploy.onhost.inspect_host import facts
from deploy.onhost.left_runs import left_runs
from deploy.onhost.lock import at_work, describe, guarded, holder, orphaned
from deploy.onhost.prefect_api import request
from deploy.onhost.record import deploys
from deploy.onhost.untrusted import printable

HTTP_OK = 200


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


def lock(folder: Path) -> dict[str, Any] | None:
    """Who holds the host, in words; None when nobody does."""
    if not folder.is_dir():
        return None
    with guarded(folder):
        held, busy = holder(folder), at_work(folder)
    if held is None:
        return {"words": "a step of a deploy without an owner is ending", "orphaned": True} if busy else None
    return {"words": describe(held), "orphaned": orphaned(held), "who": held["who"], "since": held["since"]}


def queue(query: dict[str, Any]) -> dict[str, int] | None:
    """Flow runs that are due and not taken, and those of them that Prefect calls late; None when it does not answer."""
    pool = {"work_pools": {"name": {"any_": [query["pool"]]}}}
    due = {"before_": datetime.datetime.now(datetime.UTC).isoformat()}
    scheduled = {"state": {"type": {"any_": ["SCHEDULED"]}}, "next_scheduled_start_time": due}
    try:
        depth = request(query, "/flow_runs/count", {"flow_runs": scheduled, **pool})
        late = request(query, "/flow_runs/count", {"flow_runs": {"state": {"name": {"any_": ["Late"]}}}, **pool})
    except (OSError, ValueError):
        return None
    return {"depth": depth, "late": late}


def main(query: dict[str, Any]) -> None:
    """Prints everything; with a question for `inspect_host.py` also what that one finds."""
    state = facts(query["inspect"]) if query["inspect"] else None
    units = [f"{query['unit']}{number}.service" for number in sorted(map(int, state["workers"]))] if state else []
    answers = state is not None and state["api"]["status"] == HTTP_OK
    found = {
        "state": state,
        "doing": doing(units) if units else {},
        "history": [] if state else deploys(query["audit"]),
        "lock": lock(Path(query["folder"])),
        "queue": queue(query) if answers else None,
        "left": left_runs(query, state["api"]["online"]) if state and answers else None,
    }
    print(json.dumps(found))
