"""One Prefect server for all tests; workers of their own for each."""

from __future__ import annotations

import contextlib
import os
import signal
from typing import TYPE_CHECKING, Protocol

import pytest

from sandbox.local.proxy import Proxy
from sandbox.local.server import UNSEEN, Api, prefect_server
from tests.worker.world import Trial, Worker, survivors, zygote

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


@pytest.fixture(scope="session")
def warm(nothing_left: None) -> Iterator[Path]:
    """Where workers are forked that do not import by themselves."""
    with zygote() as address:
        yield address


@contextlib.contextmanager
def starting(server: int, folder: Path, zygote: Path | None) -> Iterator[StartWorker]:
    """Start workers for as long as the block runs."""
    started: list[Worker] = []

    def begin(*, port: int = 0, name: str = "", launch: str = "", **more: str) -> Worker:
        started.append(Worker(port or server, folder, name=name, launch=launch, zygote=zygote, **more))
        return started[-1]

    yield begin
    for worker in started:
        worker.close()


@pytest.fixture
def start(server: int, warm: Path, tmp_path: Path) -> Iterator[StartWorker]:
    """Start workers, forked from a process that has imported everything: a fifth of the CPU time of a start."""
    with starting(server, tmp_path, warm) as begin:
        yield begin


@pytest.fixture
def execute(server: int, tmp_path: Path) -> Iterator[StartWorker]:
    """Start workers as systemd does: for what is about the start, or about what a process has from an interpreter's."""
    with starting(server, tmp_path, None) as begin:
        yield begin


@pytest.fixture(scope="module")
def worker(server: int, warm: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    """A worker that the tests of one file share, because none of them harms it; forked as those of `start`."""
    worker = Worker(server, tmp_path_factory.mktemp("worker"), zygote=warm, HUBLAB_CONCURRENCY="1")
    yield worker.ready()
    worker.close()


@pytest.fixture(scope="module")
def executed(server: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    """The same, started as systemd does."""
    worker = Worker(server, tmp_path_factory.mktemp("worker"), HUBLAB_CONCURRENCY="1")
    yield worker.ready()
    worker.close()


@pytest.fixture
def trial(tmp_path: Path) -> Iterator[Trial]:
    """One flow's files; the flow ends with the test."""
    trial = Trial(tmp_path)
    yield trial
    trial.let_end()
