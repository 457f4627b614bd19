"""One Prefect server for all tests; workers of their own for each."""

from __future__ import annotations

import contextlib
import os
import signal
from typing import TYPE_CHECKING, Protocol

import pytest

from sandbox.local.proxy import Proxy
from sandbox.local.server import UNSEEN, Api, prefect_server
from tests.worker.world import Trial, Worker, survivors

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class StartWorker(Protocol):
    """Starts a worker that ends with the test."""

    def __call__(self, *, port: int = 0, name: str = "", launch: str = "", **more: str) -> Worker:
        """By default against the server itself."""
        ...


@pytest.fixture(scope="session", autouse=True)
def nothing_left() -> Iterator[None]:
    """End what a failed test may have left running, by process id."""
    yield
    for pid in survivors():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory, nothing_left: None) -> Iterator[int]:
    """The port of a real Prefect server, which keeps no events."""
    with prefect_server(tmp_path_factory.mktemp("server"), **UNSEEN) as port:
        yield port


@pytest.fixture(scope="session")
def api(server: int) -> Api:
    """The server, asked directly."""
    return Api(server)


@pytest.fixture
def proxy(server: int) -> Iterator[Proxy]:
    """A proxy of this test's own before the server."""
    proxy = Proxy(server)
    yield proxy
    proxy.close()


@pytest.fixture
def start(server: int, tmp_path: Path) -> Iterator[StartWorker]:
    """Start workers."""
    started: list[Worker] = []

    def begin(*, port: int = 0, name: str = "", launch: str = "", **more: str) -> Worker:
        started.append(Worker(port or server, tmp_path, name=name, launch=launch, **more))
        return started[-1]

    yield begin
    for worker in started:
        worker.close()


@pytest.fixture(scope="module")
def worker(server: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    """A worker that the tests of one file share, because none of them harms it."""
    worker = Worker(server, tmp_path_factory.mktemp("worker"), HUBLAB_CONCURRENCY="1")
    yield worker.ready()
    worker.close()


@pytest.fixture
def trial(tmp_path: Path) -> Iterator[Trial]:
    """One flow's files; the flow ends with the test."""
    trial = Trial(tmp_path)
    yield trial
    trial.let_end()
