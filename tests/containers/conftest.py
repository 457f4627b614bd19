"""One dockerd, one image and one Prefect server for all tests; containers of its own for each that harms one."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
from typing import TYPE_CHECKING, Protocol

import pytest

from deploy.container import image as built
from sandbox.coolify.base import base
from sandbox.coolify.daemon import Daemon
from sandbox.coolify.forward import forward
from sandbox.layout import CHECKOUT, layout
from sandbox.local.proxy import Proxy
from sandbox.local.server import Api, prefect_server
from tests.containers.container import Container
from tests.containers.stage import Stage, staged
from tests.sandbox import traces

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# A socket's path is short.
ROOT = CHECKOUT / ".hublab/containers"
_NAMES = itertools.count(1)


class StartContainer(Protocol):
    """Starts a container that is stopped and removed with the test."""

    def __call__(self, tag: str = "", **more: str) -> Container:
        """Of the worker's image by default; `more` is its environment."""
        ...


@pytest.fixture(scope="session")
def daemon() -> Iterator[Daemon]:
    """A real dockerd. It takes all with it that tests leave, whatever became of them, and that is looked at."""
    signal.signal(signal.SIGTERM, lambda *_: pytest.exit("terminated", returncode=143))
    where = layout(ROOT)
    daemon = Daemon(where, ROOT / "docker")
    try:
        daemon.start()
        yield daemon
    finally:
        daemon.remove()
        left = traces.of(where)
        shutil.rmtree(ROOT)
    assert not left.processes | left.mounts | left.interfaces | left.routes | left.cgroups, left


@pytest.fixture(scope="session")
def base_image(daemon: Daemon) -> str:
    """What images are built on here, where there is no registry; its tag."""
    daemon.take("hublab-base", base(layout(ROOT)))
    return "hublab-base"


@pytest.fixture(scope="session")
def image(daemon: Daemon, base_image: str) -> str:
    """The worker's image of this checkout, built as `./hublab image` builds it; its tag."""
    # Nothing but this machine is in the reach of the daemon's own network.
    return built.build(base_image, "worker", ["--network=host"], {**os.environ, **daemon.environment})


@pytest.fixture(scope="session")
def server_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where Prefect's server keeps its database."""
    return tmp_path_factory.mktemp("server")


@pytest.fixture(scope="session")
def proxy(server_home: Path) -> Iterator[Proxy]:
    """A proxy before a real Prefect server."""
    with prefect_server(server_home) as port:
        proxy = Proxy(port)
        yield proxy
        proxy.close()


@pytest.fixture(scope="session")
def api(proxy: Proxy) -> Api:
    """The server, asked through the proxy that the containers use."""
    return Api(proxy.port)


@pytest.fixture(scope="session")
def address(daemon: Daemon, proxy: Proxy) -> Iterator[str]:
    """The server's address in the containers' network."""
    with forward(str(daemon.gateway), proxy.port) as port:
        yield f"http://{daemon.gateway}:{port}/api"


@pytest.fixture(scope="session")
def worker(daemon: Daemon, image: str, address: str) -> Container:
    """A worker that tests share that do it no harm. It is left running: the daemon has to end it."""
    return Container(daemon, f"w{next(_NAMES)}", image, address).start()


@pytest.fixture(scope="session")
def stage(
    daemon: Daemon, base_image: str, address: str, api: Api, server_home: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stage]:
    """An operator, and an application whose first deploy has gone well."""
    assert base_image == "hublab-base"
    with staged(daemon, api, address, server_home, tmp_path_factory.mktemp("desk")) as stage:
        stage.begin()
        yield stage


@pytest.fixture
def serving(stage: Stage) -> Stage:
    """The first release serves, whatever the tests before left."""
    stage.back_to_first()
    return stage


@pytest.fixture
def start(daemon: Daemon, image: str, address: str) -> Iterator[StartContainer]:
    """Start containers."""
    started: list[Container] = []

    def begin(tag: str = "", **more: str) -> Container:
        started.append(Container(daemon, f"w{next(_NAMES)}", tag or image, address, **more))
        return started[-1].start()

    yield begin
    for container in started:
        container.remove()
