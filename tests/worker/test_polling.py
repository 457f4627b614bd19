"""What one poll asks for, and which of the answers are taken."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.drain import Drain, InFlight
from worker.process_worker import HublabWorker


class Asked(HublabWorker):
    """A worker before a queue with a backlog: the server gives the customers' runs before the probe's."""

    def __init__(self, concurrency: int, backlog: int, *, probe: bool) -> None:
        self.settings: Any = SimpleNamespace(concurrency=concurrency, queues=("q",), probe_queue="probe-w")
        self.in_flight, self.drain = InFlight(), Drain(0)
        self.workplace: Any = SimpleNamespace(problem="")
        self._put_off: dict[Any, float] = {}
        self.requests: list[list[str]] = []
        self.due = {"q": [_run("q") for _ in range(backlog)], "probe-w": [_run("probe-w")] if probe else []}

    @classmethod
    def __dispatch_key__(cls) -> str:
        return "asked"

    async def _scheduled(self, queues: list[str], limit: int) -> list[Any]:
        self.requests.append(queues)
        return [run for name in sorted(queues, reverse=True) for run in self.due[name]][:limit]

    def poll(self) -> list[str]:
        """The queues of the runs that one poll would start."""
        return [str(entry.flow_run.work_queue_name) for entry in anyio.run(self._get_scheduled_flow_runs)]


def _run(queue: str) -> Any:
    return SimpleNamespace(flow_run=SimpleNamespace(id=uuid4(), work_queue_name=queue))


def test_one_request_asks_for_all_queues() -> None:
    worker = Asked(2, 1, probe=True)
    assert sorted(worker.poll()) == ["probe-w", "q"]
    assert worker.requests == [["probe-w", "q"]]


@given(concurrency=st.integers(1, 4), backlog=st.integers(0, 9), held=st.integers(0, 4), probe=st.booleans())
def test_probe_has_its_place_before_any_backlog_and_no_more_is_taken_than_there_is_room_for(
    concurrency: int, backlog: int, held: int, *, probe: bool
) -> None:
    worker = Asked(concurrency, backlog, probe=probe)
    held = min(held, concurrency)
    for _ in range(held):
        worker.in_flight._holds[uuid4()] += 1
    taken = worker.poll()
    assert taken.count("probe-w") == probe
    assert taken.count("q") == min(backlog, concurrency - held)


@pytest.mark.parametrize("how", ["in hand", "put off"])
def test_run_that_is_in_hand_or_was_put_off_hides_no_other(how: str) -> None:
    worker = Asked(2, 3, probe=False)
    first = worker.due["q"][0].flow_run.id
    if how == "in hand":
        worker.in_flight._holds[first] += 1
    else:
        worker._put_off[first] = float("inf")
    found = anyio.run(worker._get_scheduled_flow_runs)
    assert first not in [entry.flow_run.id for entry in found]
    assert len(found) == (1 if how == "in hand" else 2)


def test_second_probe_waits_for_the_first() -> None:
    worker = Asked(1, 0, probe=True)
    worker.due["probe-w"].append(_run("probe-w"))
    assert worker.poll() == ["probe-w"]
    with worker.in_flight.hold(uuid4(), probe=True):
        assert worker.poll() == []
    assert worker.requests[-1] == ["q"]
