"""Flow runs that are not going on, and that no worker is about to run: lost, stuck or given up. Changes nothing."""

from __future__ import annotations

import datetime
from typing import Any

from deploy.onhost.prefect_api import pages, worker_of
from deploy.onhost.untrusted import printable

PATIENCE_SECONDS = 300  # by then the workers have put right what they may
TAG = "run-again"


def left_runs(query: dict[str, Any], online: list[str]) -> list[dict[str, Any]] | None:
    """Each with its id, name, state and what is wrong; None when Prefect does not answer.

    `online`: names of the pool's workers that are.
    """
    pool = {"work_pools": {"name": {"any_": [query["pool"]]}}}
    begun = {"type": {"any_": ["PENDING", "RUNNING", "CANCELLING"]}}
    ended = {"type": {"any_": ["CRASHED"]}, "name": {"any_": ["Lost", "GaveUp", "Crashed"]}}
    try:
        found = [
            run
            for state in (ended, begun)
            for run in pages(query, "/flow_runs/filter", {"flow_runs": {"state": state}, **pool})
        ]
    except (OSError, ValueError):
        return None
    now = datetime.datetime.now(datetime.UTC)
    told = [(run, problem(run, online, now)) for run in found]
    return [described(run, words, again=again) for run, (words, again) in told if words]


def described(run: dict[str, Any], words: str, *, again: bool) -> dict[str, Any]:
    """For the operator's terminal. A run names itself, its state and, by its labels, its worker."""
    shown = {"id": run["id"], "name": run["name"], "state": run["state"]["name"], "problem": words}
    return {key: printable(value) for key, value in shown.items()} | {"again": again}


def problem(run: dict[str, Any], online: list[str], now: datetime.datetime) -> tuple[str, bool]:
    """What is wrong with a run, empty for nothing; and whether somebody has to have it run again."""
    state, worker = run["state"], worker_of(run)
    old = (now - datetime.datetime.fromisoformat(state["timestamp"])).total_seconds() > PATIENCE_SECONDS
    if state["type"] == "CRASHED":
        if state["name"] == "GaveUp":
            return "given up", True
        if TAG in run["tags"]:
            return (f"{state['name'].lower()}, and not run again", True) if old else ("", False)
        return ("lost", True) if state["name"] == "Lost" else ("", False)
    if not old:
        return "", False
    if worker and worker not in online:
        return f"stuck: its worker {worker} is gone", False
    return ("stuck: claimed, and not begun", False) if state["type"] == "PENDING" else ("", False)
