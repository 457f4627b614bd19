"""When the canary is worse than the others: on their flow runs' ends, and on its own process."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from itertools import count
from typing import Any

import pytest

from deploy.onhost import prefect_api, watch_canary
from deploy.onhost.prefect_api import Access, Event, FlowRun
from deploy.onhost.watch_canary import CLAIM, Crashes, Tally, WatchCanary, fault, tally

IDS = count()
ACCESS = Access("http://127.0.0.1:9/api")
BEGAN = datetime(2026, 1, 1, 12, tzinfo=UTC)


def run(worker: str | None, state: str, *tags: str, name: str = "") -> FlowRun:
    told = {"type": state, "name": state.title(), "timestamp": BEGAN.isoformat()}
    labels = {"prefect.worker.name": worker} if worker else None
    return FlowRun.of(
        {"id": name or f"r{next(IDS)}", "name": "n", "labels": labels, "state": told, "tags": tags or None}
    )


def resource(kind: str, name: str) -> dict[str, str]:
    return {"prefect.resource.id": f"prefect.{kind}.{name}", "prefect.resource.role": kind}


def claim(worker: str, name: str, at: str = "12:00:01") -> Event:
    related = [resource("work-pool", "p"), resource("flow-run", name)]
    return event(CLAIM, {"prefect.resource.name": worker}, related, at)


def crash(name: str, at: str = "12:00:02", *tags: str, state: str = "Crashed") -> Event:
    tagged = [resource("tag", tag) for tag in tags]
    return event(f"prefect.flow-run.{state}", resource("flow-run", name), tagged, at)


def event(name: str, about: dict[str, str], related: list[dict[str, str]], at: str) -> Event:
    told = {"id": f"e{next(IDS)}", "event": name, "occurred": f"2026-01-01T{at}Z"}
    return Event.of({**told, "resource": about, "related": related})


def test_runs_are_counted_by_worker_and_the_gates_own_are_not() -> None:
    runs = [
        run("c", "COMPLETED"),
        run("c", "FAILED"),
        run("c", "COMPLETED", "hublab-probe"),
        run("d", "CRASHED"),
        run("e", "COMPLETED"),
        run(None, "CRASHED"),
    ]
    assert tally(runs, set(), "c") == (Tally(2, failed=1), Tally(2, crashed=1))


def test_crash_belongs_to_who_had_claimed_the_run_although_another_completed_it_since() -> None:
    crashes = Crashes(BEGAN)
    crashes.add([claim("c", "again"), crash("again"), claim("d", "again")])
    runs = [run("d", "COMPLETED", name="again"), run("d", "COMPLETED")]
    assert tally(runs, crashes.found, "c") == (Tally(1, crashed=1), Tally(2))


def test_crash_that_is_also_how_the_run_ended_counts_once() -> None:
    crashes = Crashes(BEGAN)
    crashes.add([claim("c", "one"), crash("one", state="Lost")])
    assert tally([run("c", "CRASHED", name="one")], crashes.found, "c") == (Tally(1, crashed=1), Tally())


def test_crashes_from_before_of_the_gate_and_of_nobody_do_not_count() -> None:
    crashes = Crashes(BEGAN)
    happened = [claim("c", "old", "11:50:00"), crash("old", "11:59:59"), crash("unclaimed")]
    happened += [claim("c", "probe"), crash("probe", "12:00:02", "hublab-probe")]
    crashes.add(happened)
    assert crashes.found == set()
    late = [claim("c", "long", "11:55:00"), crash("long")]
    crashes.add(late)
    crashes.add([claim("d", "long"), *late])
    crashes.add([claim("d", "long"), late[1]])  # what came late is asked for again, without what was before it
    assert crashes.found == {("c", "long")}


def test_events_are_read_page_by_page_each_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefect_api, "EVENTS_PAGE", 3)
    # Two at the same moment, at the border of two pages.
    there = [
        {"id": str(number), "event": "x", "occurred": f"2026-01-01T12:00:0{number - number // 3}Z", "resource": {}}
        for number in range(7)
    ]
    read = [Event.of(item) for item in there]

    def request(_: object, path: str, body: dict[str, Any]) -> dict[str, Any]:
        assert path == "/events/filter"
        assert body["filter"]["event"] == {"name": ["x"]}
        since = body["filter"]["occurred"]["since"]
        return {"events": [item for item in there if item["occurred"] >= since][: body["limit"]]}

    monkeypatch.setattr(prefect_api, "request", request)
    assert prefect_api.events(ACCESS, ["x"], "2026-01-01T00:00:00Z") == read
    # A whole page of one moment: it would be asked for again and again.
    answers = iter([there[:3]] * 2)
    monkeypatch.setattr(prefect_api, "request", lambda *_: {"events": next(answers)})
    assert prefect_api.events(ACCESS, ["x"], "2026-01-01T00:00:00Z") == read[:3]


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
def test_canary_is_bad_where_more_of_its_runs_go_wrong_than_of_the_others(
    mine: Tally, others: Tally, *, bad: bool
) -> None:
    assert bool(fault(mine, others)) is bad


class Window:
    """A watch whose time passes by sleeping alone."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.asked = 0.0, 0
        self.answers: list[Any] = [[]]
        self.process = "MainPID=7"
        monkeypatch.setattr("deploy.onhost.watch_canary.time.monotonic", lambda: self.now)
        monkeypatch.setattr("deploy.onhost.watch_canary.time.sleep", self.sleep)
        self.events: list[Event] = []
        monkeypatch.setattr(watch_canary, "flow_runs", self.flow_runs)
        monkeypatch.setattr(watch_canary, "events", lambda *_: self.events)
        monkeypatch.setattr(watch_canary, "process", lambda _: self.process)
        self.server_now = datetime.now(UTC)
        self.bodies: list[dict[str, Any]] = []
        monkeypatch.setattr(watch_canary, "server_now", lambda _: self.server_now)

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def flow_runs(self, _access: object, _pool: str, wanted: dict[str, Any]) -> list[FlowRun]:
        self.bodies.append(wanted)
        answer = self.answers[min(self.asked, len(self.answers) - 1)]
        self.asked += 1
        if isinstance(answer, Exception):
            raise answer
        return list(answer)

    def watch(self) -> int:
        return watch_canary.main(WatchCanary(unit="u", worker="c", pool="p", seconds=20, access=ACCESS))


@pytest.fixture
def window(monkeypatch: pytest.MonkeyPatch) -> Window:
    return Window(monkeypatch)


def test_whole_window_is_watched(window: Window, capsys: pytest.CaptureFixture[str]) -> None:
    window.answers = [[run("c", "COMPLETED"), run("d", "FAILED")]]
    assert window.watch() == 0
    assert window.now >= 20
    assert "canary passed: 0% of its 1 run failed, 100% of the others' 1" in capsys.readouterr().out


def test_runs_are_asked_for_by_the_servers_clock_and_not_by_the_hosts(window: Window) -> None:
    """A host whose clock is ahead would see no run end, and would pass every canary unjudged."""
    window.server_now = datetime(2020, 1, 1, tzinfo=UTC)
    window.watch()
    assert {wanted["end_time"]["after_"] for wanted in window.bodies} == {"2020-01-01T00:00:00+00:00"}


def test_canary_without_runs_says_that_nothing_was_judged(window: Window, capsys: pytest.CaptureFixture[str]) -> None:
    assert window.watch() == 0
    assert "canary passed: it stayed up, and had no flow runs to be judged by" in capsys.readouterr().out


def test_crashed_run_ends_the_watch_at_once(window: Window, capsys: pytest.CaptureFixture[str]) -> None:
    window.answers = [[], [run("c", "CRASHED")]]
    assert window.watch() == 1
    assert window.now < 20
    assert "c: FAILED as the canary: 1 of its 1 flow run crashed" in capsys.readouterr().out


def test_crash_of_a_run_that_was_run_again_ends_it(window: Window, capsys: pytest.CaptureFixture[str]) -> None:
    window.events = [claim("c", "again", "12:00:00"), crash("again")]
    window.events[1] = replace(window.events[1], occurred=datetime.now(UTC).replace(year=2100))
    window.answers = [[run("d", "COMPLETED", name="again")]]
    assert window.watch() == 1
    assert "1 of its 1 flow run crashed, none of the others' 1 did" in capsys.readouterr().out


def test_restart_of_its_own_is_a_fault(window: Window, monkeypatch: pytest.MonkeyPatch) -> None:
    pids = iter(["7", "7", "8"])
    monkeypatch.setattr(watch_canary, "process", lambda _: next(pids))
    assert window.watch() == 1


def test_api_that_does_not_answer_decides_nothing(window: Window) -> None:
    window.answers = [OSError("away"), [run("c", "COMPLETED")]]
    assert window.watch() == 0
