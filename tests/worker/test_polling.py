"""What one poll asks for, and which of the answers are taken."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.responses import WorkerFlowRunResponse

from worker.drain import Drain, InFlight
from worker.process_worker import POLL_SECONDS, HublabWorker


class Asked(HublabWorker):
    """A worker before a queue with a backlog: the server gives the customers' runs before the probe's."""

    def __init__(self, concurrency: int, backlog: int, *, probe: bool) -> None:
        self.settings: Any = SimpleNamespace(concurrency=concurrency, queues=("q",), probe_queue="probe-w", pool="pool")
        self.in_flight, self.drain = InFlight(), Drain(0)
        self.workplace: Any = SimpleNamespace(problem="")
        self._put_off: dict[Any, float] = {}
        self._backlog, self._polled = False, float("-inf")
        self._prefetch_seconds = 10.0
        self._client: Any = SimpleNamespace(request=self._count)
        self.requests: list[list[str]] = []
        self.counted: list[list[str]] = []
        self.due = {"q": [_run("q") for _ in range(backlog)], "probe-w": [_run("probe-w")] if probe else []}

    @classmethod
    def __dispatch_key__(cls) -> str:
        return "asked"

    async def _scheduled(self, queues: list[str], limit: int) -> list[Any]:
        self.requests.append(queues)
        return [run for name in sorted(queues, reverse=True) for run in self.due[name]][:limit]

    async def _count(self, method: str, path: str, json: dict[str, Any]) -> Any:
        assert (method, path) == ("POST", "/flow_runs/count")
        assert json["work_pools"] == {"name": {"any_": ["pool"]}}
        wanted = json["flow_runs"]
        assert wanted["state"] == {"type": {"any_": ["SCHEDULED"]}}
        # As in a poll, a run that is due soon counts, and of those that are due later none.
        ahead = datetime.fromisoformat(wanted["next_scheduled_start_time"]["before_"]) - datetime.now(UTC)
        assert timedelta(0) < ahead <= timedelta(seconds=self._prefetch_seconds)
        queues = json["work_pool_queues"]["name"]["any_"]
        self.counted.append(queues)
        return SimpleNamespace(json=lambda: sum(len(self.due[name]) for name in queues))

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


async def test_run_that_is_in_hand_is_as_old_as_the_poll_that_gave_it() -> None:
    """Its claim may take long; its engine reads anew what is too old."""
    worker = Asked(2, 0, probe=False)
    told: list[list[Any]] = []
    knowledge = SimpleNamespace(polled=lambda _, ids: told.append(list(ids)))
    worker.engines = SimpleNamespace(knowledge=knowledge)  # type: ignore[assignment]
    runs = [WorkerFlowRunResponse(work_pool_id=uuid4(), work_queue_id=uuid4(), flow_run=FlowRun(flow_id=uuid4()))]

    async def request(*_: Any, **__: Any) -> Any:
        return SimpleNamespace(json=lambda: [run.model_dump(mode="json") for run in runs])

    worker._client = SimpleNamespace(request=request)
    await HublabWorker._scheduled(worker, ["q"], 2)
    with worker.in_flight.hold(runs[0].flow_run.id):
        await HublabWorker._scheduled(worker, ["q"], 2)
    assert told == [[runs[0].flow_run.id], []]


def test_second_probe_waits_for_the_first() -> None:
    worker = Asked(1, 0, probe=True)
    worker.due["probe-w"].append(_run("probe-w"))
    assert worker.poll() == ["probe-w"]
    with worker.in_flight.hold(uuid4(), probe=True):
        assert worker.poll() == []
    assert worker.requests[-1] == ["q"]


def test_worker_that_finds_nothing_only_counts_until_something_is_due_and_polls_now_and_then_to_be_seen() -> None:
    worker = Asked(2, 0, probe=False)
    assert [worker.poll() for _ in range(3)] == [[], [], []]
    assert (len(worker.requests), worker.counted) == (1, [["probe-w", "q"]] * 2)
    worker.due["q"].append(_run("q"))
    assert worker.poll() == ["q"]
    assert (len(worker.requests), len(worker.counted)) == (2, 3)
    worker.due["q"].clear()
    worker.poll()
    worker.poll()
    assert (len(worker.requests), len(worker.counted)) == (3, 4)
    worker._polled -= POLL_SECONDS
    worker.poll()
    assert (len(worker.requests), len(worker.counted)) == (4, 4)


def test_backlog_is_polled_without_a_count_and_probes_behind_it_and_of_a_full_worker_are_counted() -> None:
    worker = Asked(1, 1, probe=False)
    worker.poll()
    worker.poll()
    assert (len(worker.requests), len(worker.counted)) == (2, 0)
    worker.due["q"].append(_run("q"))
    worker.poll()
    assert (len(worker.requests), worker.counted) == (3, [["probe-w"]])
    held = uuid4()
    worker.in_flight._holds[held] += 1
    worker.poll()
    assert (len(worker.requests), worker.counted) == (3, [["probe-w"]] * 2)
    worker.due["probe-w"].append(_run("probe-w"))
    assert worker.poll() == ["probe-w"]
    del worker.in_flight._holds[held]
    assert sorted(worker.poll()) == ["probe-w", "q"]
    assert (len(worker.requests), len(worker.counted)) == (6, 4)
