"""Which flow runs `./hublab status` says nobody is about to run."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from deploy.onhost.left_runs import LeftRun, described, problem
from deploy.onhost.prefect_api import FlowRun

NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)


def run(kind: str, name: str, *tags: str, ago: float = 600, worker: str = "") -> FlowRun:
    return FlowRun("7", "n", kind, name, NOW - timedelta(seconds=ago), tags, worker)


@pytest.mark.parametrize(
    ("what", "said"),
    [
        (run("CRASHED", "GaveUp", "run-again", ago=1), ("given up", True)),
        (run("CRASHED", "Lost", ago=1), ("lost", True)),
        (run("CRASHED", "Lost", "run-again"), ("lost, and not run again", True)),
        (run("CRASHED", "Lost", "run-again", ago=30), ("", False)),
        (run("CRASHED", "Crashed", "run-again"), ("crashed, and not run again", True)),
        (run("CRASHED", "Crashed"), ("", False)),
        (run("PENDING", "Pending"), ("stuck: claimed, and not begun", False)),
        (run("PENDING", "HublabSubmitting", worker="h-2"), ("stuck: its worker h-2 is gone", False)),
        (run("PENDING", "Pending", ago=30), ("", False)),
        (run("RUNNING", "Running", worker="h-1"), ("", False)),
        (run("RUNNING", "Running", worker="h-2"), ("stuck: its worker h-2 is gone", False)),
        (run("RUNNING", "Running"), ("", False)),
        (run("CANCELLING", "Cancelling", worker="h-2"), ("stuck: its worker h-2 is gone", False)),
    ],
)
def test_what_is_wrong_with_a_run(what: FlowRun, said: tuple[str, bool]) -> None:
    assert problem(what, ["h-1"], NOW) == said


def test_what_a_run_calls_itself_does_nothing_to_the_operators_terminal() -> None:
    wild = "\x1b]0;owned\x07\x1b[2Jas planned\u202e\r\n"
    found = replace(run("PENDING", wild, worker=wild), name=wild)
    words, again = problem(found, [], NOW)
    told = described(found, words, again=again)
    shown = "?]0;owned??[2Jas planned???"
    assert told == LeftRun("7", shown, shown, f"stuck: its worker {shown} is gone", again=False)
