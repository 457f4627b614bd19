"""Flow runs that are not going on, and that no worker is about to run: lost, stuck or given up. Changes nothing."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from typing import TYPE_CHECKING

from deploy.onhost.prefect_api import Access, FlowRun, flow_runs
from deploy.onhost.untrusted import printable

if TYPE_CHECKING:
    from collections.abc import Collection

PATIENCE_SECONDS = 300  # by then the workers have put right what they may
TAG = "run-again"


@dataclass(frozen=True)
class LeftRun:
    """A flow run, its state and what is wrong with it; `again`: somebody has to have it run again."""

    id: str
    name: str
    state: str
    problem: str
    again: bool


def left_runs(access: Access, name: str, online: Collection[str]) -> tuple[LeftRun, ...] | None:
    """All of a pool's; None when Prefect does not answer.

    `name`: the pool's. `online`: names of those of its workers that are.
    """
    wanted = {"state": {"type": {"any_": ["PENDING", "RUNNING", "CANCELLING", "CRASHED"]}}}
    try:
        found = flow_runs(access, name, wanted)
    except (OSError, ValueError):
        return None
    now = datetime.datetime.now(datetime.UTC)
    told = [(run, problem(run, online, now)) for run in found]
    return tuple(described(run, words, again=again) for run, (words, again) in told if words)


def described(run: FlowRun, words: str, *, again: bool) -> LeftRun:
    """For the operator's terminal. A run names itself, its state and, by its labels, its worker."""
    return LeftRun(run.id, printable(run.name), printable(run.state), printable(words), again)


def problem(run: FlowRun, online: Collection[str], now: datetime.datetime) -> tuple[str, bool]:
    """What is wrong with a run, empty for nothing; and whether somebody has to have it run again."""
    worker, old = run.worker, (now - run.since).total_seconds() > PATIENCE_SECONDS
    if run.type == "CRASHED":
        if run.state == "GaveUp":
            return "given up", True
        if TAG in run.tags:
            return (f"{run.state.lower()}, and not run again", True) if old else ("", False)
        return ("lost", True) if run.state == "Lost" else ("", False)
    if not old:
        return "", False
    if worker and worker not in online:
        return f"stuck: its worker {worker} is gone", False
    return ("stuck: claimed, and not begun", False) if run.type == "PENDING" else ("", False)
