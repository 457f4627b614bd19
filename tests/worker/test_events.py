"""The events that Prefect's own process worker emits, ours emits as well: at a server that keeps them."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from sandbox.local.server import PREFECT, Api, prefect_server
from tests.worker.world import LIMIT, POOL, Trial

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.worker.conftest import StartWorker
    from tests.worker.world import Worker

TOLD = {
    "prefect.worker.started": 1,
    "prefect.worker.submitted-flow-run": 2,
    "prefect.worker.executed-flow-run": 2,
    "prefect.runner.cancelled-flow-run": 1,
}
"""What a worker tells of the two runs of `live`, and how often: a server keeps one event after the other."""
GOODBYE = "prefect.worker.stopped"


class Stock:
    """Prefect's own worker, with the environment and the queue of one of ours."""

    def __init__(self, ours: Worker, *options: str) -> None:
        """Start it."""
        self.name = f"{'once' if options else 'stock'}-{ours.name}"
        where = ["--pool", POOL, "--work-queue", ours.queue, "--name", self.name]
        command = [PREFECT, "worker", "start", *where, *options]
        with ours.log.open("ab") as log:
            self._process = subprocess.Popen(command, env=ours.environment, stdout=log, stderr=log, cwd=ours.folder)

    def kill(self) -> None:
        """It says no goodbye. Asked to end, it may miss the interrupt and stay for ever."""
        self._process.kill()
        self._process.wait(LIMIT)

    def end(self) -> None:
        """It ends by itself: with `--run-once`."""
        assert self._process.wait(LIMIT) == 0


def happenings(api: Api, name: str, runs: list[str]) -> dict[str, list[Any]]:
    """By event: its resource and what it is related to, without what differs from worker to worker and run to run."""

    def plain(resource: dict[str, str]) -> list[tuple[str, str]]:
        own = {"prefect.resource.name", "prefect.worker.name", "prefect.infrastructure.identifier"}
        found = {key: "" if key in own else value for key, value in resource.items()}
        kind = found["prefect.resource.id"].split(".")
        found["prefect.resource.id"] = ".".join(kind[:3] if kind[1] == "worker" else kind[:2])
        return sorted(found.items())

    def concerned(event: dict[str, Any]) -> bool:
        told = [event["resource"], *event["related"]]
        return any(entry["prefect.resource.id"].endswith((f".{name}", *runs)) for entry in told)

    asked = {"filter": {"event": {"name": [*TOLD, GOODBYE]}}, "limit": 50}
    events = [event for event in api.post("/events/filter", asked)["events"] if concerned(event)]
    found: dict[str, list[Any]] = {}
    for event in events:
        related = sorted(plain(entry) for entry in event["related"])
        found.setdefault(event["event"], []).append([plain(event["resource"]), related, bool(event["follows"])])
    return {event: sorted(told) for event, told in found.items()}


def counted(told: dict[str, list[Any]]) -> dict[str, int]:
    """By event, how often."""
    return {event: len(those) for event, those in told.items()}


def live(api: Api, queue: str, folder: Path) -> list[str]:
    """One run that completes, one that is cancelled."""
    completes, cancelled = Trial(folder), Trial(folder)
    completes.let_end()
    runs = [api.start("until", queue, **completes.files), api.start("hooked", queue, **cancelled.files)]
    cancelled.begun()
    api.cancel(runs[1])
    assert api.wait_state(runs[1], "CANCELLED", "CRASHED", "FAILED") == "CANCELLED"
    assert api.wait_state(runs[0], "COMPLETED", "CRASHED", "FAILED") == "COMPLETED"
    return runs


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, nothing_left: None) -> Iterator[int]:
    """The port of a real server with everything that it does of itself."""
    with prefect_server(tmp_path_factory.mktemp("server")) as port:
        yield port


@pytest.fixture(scope="module")
def api(server: int) -> Api:
    """That server, asked directly."""
    return Api(server)


@pytest.mark.long
def test_events_are_those_of_prefects_own_worker(api: Api, start: StartWorker, tmp_path: Path) -> None:
    ours = start(HUBLAB_CONCURRENCY="2").ready()
    runs = live(api, ours.queue, tmp_path)
    assert ours.term().exit() == 0
    api.wait(lambda: counted(happenings(api, ours.name, runs)) == TOLD | {GOODBYE: 1}, "all that a worker tells")
    stock = Stock(ours)
    runs_of_stock = live(api, ours.queue, tmp_path)
    api.wait(lambda: counted(happenings(api, stock.name, runs_of_stock)) == TOLD, "the same of Prefect's worker")
    stock.kill()
    once = Stock(ours, "--run-once")
    once.end()
    api.wait(lambda: GOODBYE in happenings(api, once.name, []), "its goodbye")
    theirs = happenings(api, stock.name, runs_of_stock) | {GOODBYE: happenings(api, once.name, [])[GOODBYE]}
    assert happenings(api, ours.name, runs) == theirs
