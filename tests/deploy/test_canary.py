"""When the canary is worse than the others: on their flow runs' ends, and on its own process."""

from __future__ import annotations

from typing import Any

import pytest

from deploy.onhost import watch_canary
from deploy.onhost.watch_canary import Tally, fault, tally


def run(worker: str | None, state: str, *tags: str) -> dict[str, Any]:
    return {"labels": {"prefect.worker.name": worker} if worker else {}, "state_type": state, "tags": list(tags)}


def test_runs_are_counted_by_worker_and_the_gates_own_are_not() -> None:
    runs = [
        run("c", "COMPLETED"),
        run("c", "FAILED"),
        run("c", "COMPLETED", "hublab-probe"),
        run("d", "CRASHED"),
        run("e", "COMPLETED"),
        run(None, "CRASHED"),
        {"labels": None, "state_type": "CRASHED", "tags": None},
    ]
    assert tally(runs, "c") == (Tally(2, failed=1), Tally(2, crashed=1))


@pytest.mark.parametrize(
    ("mine", "others", "bad"),
    [
        (Tally(), Tally(), False),
        (Tally(), Tally(10, failed=10), False),
        (Tally(1, failed=1), Tally(50), False),
        (Tally(1, crashed=1), Tally(50), True),
        (Tally(1, crashed=1), Tally(), True),
        (Tally(1, crashed=1), Tally(50, crashed=1), False),
        (Tally(2, failed=2), Tally(50), True),
        (Tally(10, failed=2), Tally(10, failed=1), False),
        (Tally(10, failed=3), Tally(10, failed=1), True),
        (Tally(10, failed=2, crashed=1), Tally(10, crashed=1), True),
    ],
)
def test_verdict(mine: Tally, others: Tally, *, bad: bool) -> None:
    assert bool(fault(mine, others)) is bad


class Window:
    """A watch whose time passes by sleeping alone."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.asked = 0.0, 0
        self.answers: list[Any] = [[]]
        self.process = "MainPID=7"
        monkeypatch.setattr("deploy.onhost.watch_canary.time.monotonic", lambda: self.now)
        monkeypatch.setattr("deploy.onhost.watch_canary.time.sleep", self.sleep)
        monkeypatch.setattr(watch_canary, "pages", self.pages)
        monkeypatch.setattr(watch_canary, "process", lambda _: self.process)

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def pages(self, *_: object) -> list[dict[str, Any]]:
        answer = self.answers[min(self.asked, len(self.answers) - 1)]
        self.asked += 1
        if isinstance(answer, Exception):
            raise answer
        return list(answer)

    def watch(self) -> int:
        return watch_canary.main({"unit": "u", "worker": "c", "pool": "p", "seconds": 20})


@pytest.fixture
def window(monkeypatch: pytest.MonkeyPatch) -> Window:
    return Window(monkeypatch)


def test_whole_window_is_watched(window: Window, capsys: pytest.CaptureFixture[str]) -> None:
    window.answers = [[run("c", "COMPLETED"), run("d", "FAILED")]]
    assert window.watch() == 0
    assert window.now >= 20
    assert "canary passed: 0% of its 1 runs failed, 100% of the others' 1" in capsys.readouterr().out


def test_canary_without_runs_says_that_nothing_was_judged(window: Window, capsys: pytest.CaptureFixture[str]) -> None:
    assert window.watch() == 0
    assert "canary passed: it stayed up, and had no flow runs to be judged by" in capsys.readouterr().out


def test_fault_ends_it_at_once(window: Window, capsys: pytest.CaptureFixture[str]) -> None:
    window.answers = [[], [run("c", "CRASHED")]]
    assert window.watch() == 1
    assert window.now < 20
    assert "c: FAILED as the canary: 1 of its 1 flow runs crashed" in capsys.readouterr().out


def test_restart_of_its_own_is_a_fault(window: Window, monkeypatch: pytest.MonkeyPatch) -> None:
    pids = iter(["7", "7", "8"])
    monkeypatch.setattr(watch_canary, "process", lambda _: next(pids))
    assert window.watch() == 1


def test_api_that_does_not_answer_decides_nothing(window: Window) -> None:
    window.answers = [OSError("away"), [run("c", "COMPLETED")]]
    assert window.watch() == 0
