"""One Prefect server (Prefect's own harness) for all tests here, and fresh stand-ins for each test that asks."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import certifi

from sandbox.local.server import UNSEEN, Fresh

# Before Prefect is imported: nothing of a test belongs in the home of whoever runs it.
_HOME = tempfile.TemporaryDirectory(prefix="hublab-tests-")
os.environ["PREFECT_HOME"] = _HOME.name
os.environ["PREFECT_PROFILES_PATH"] = f"{_HOME.name}/profiles.toml"
os.environ["PREFECT_SERVER_ANALYTICS_ENABLED"] = "false"
os.environ["PREFECT_LOGGING_LEVEL"] = "WARNING"
os.environ["PREFECT_LOGGING_TO_API_ENABLED"] = "false"
# The server wants no tokens, which each client would ask for before it writes.
os.environ["PREFECT_CLIENT_CSRF_SUPPORT_ENABLED"] = "false"
# Nothing here speaks TLS, yet every client reads all authorities when it is made, hundreds of times: one is enough.
_end = "-----END CERTIFICATE-----"
os.environ["SSL_CERT_FILE"] = f"{_HOME.name}/authority.pem"
Path(os.environ["SSL_CERT_FILE"]).write_text(Path(certifi.where()).read_text("utf-8").partition(_end)[0] + _end + "\n")
# What no test here looks at, and what makes SQLite's one writer wait.
os.environ |= UNSEEN
for _name in ("PREFECT_API_URL", "PREFECT_API_KEY", "PREFECT_API_AUTH_STRING", "PYTHONDONTWRITEBYTECODE"):
    os.environ.pop(_name, None)

import pytest  # noqa: E402
from prefect.exceptions import ObjectAlreadyExists  # noqa: E402
from prefect.settings import PREFECT_API_URL, temporary_settings  # noqa: E402
from prefect.testing import utilities  # noqa: E402

from flows.recipients import edits  # noqa: E402
from flows.sending import ahead  # noqa: E402
from flows.services.prefect_api import Prefect  # noqa: E402
from flows.services.settings import VARIABLE  # noqa: E402
from sandbox.standins.serve import StandIns, stand_ins  # noqa: E402
from tests.flows.killing import Tries, tries  # noqa: E402
from tests.flows.past import Past, client_of  # noqa: E402
from tests.flows.world import World, notion_added, renewed  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@contextlib.contextmanager
def harness() -> Iterator[None]:
    """Prefect's own, whose database need not be made anew."""
    folder = tempfile.mkdtemp()  # the harness removes it
    fresh = Fresh(Path(folder, "prefect-test.db"))
    fresh.furnish()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(utilities, "mkdtemp", lambda: folder)
        with utilities.prefect_test_harness(server_startup_timeout=600):
            fresh.keep()
            yield


@pytest.fixture(scope="session")
def server() -> Iterator[None]:
    """A Prefect server of the tests' own, with a work pool and everything registered."""
    from prefect.client.schemas.actions import WorkPoolCreate  # noqa: PLC0415

    with contextlib.ExitStack() as stack:
        if running := os.environ.get("HUBLAB_TESTS_PREFECT_API"):  # a server that is kept running while one develops
            stack.enter_context(temporary_settings({PREFECT_API_URL: running}))
        else:
            stack.enter_context(harness())
        with Prefect() as prefect:
            with contextlib.suppress(ObjectAlreadyExists):
                prefect.client.create_work_pool(WorkPoolCreate(name="default", type="process"))
            # The limits are about the real services; here they would only take time.
            prefect.remember(VARIABLE, {"HUBLAB_NOTION_PER_MINUTE": "60000", "HUBLAB_RESEND_PER_SECOND": "1000"})
        from flows.operator.register import register  # noqa: PLC0415

        register("default")
        # For threads and processes: the harness sets its address in this context alone.
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PREFECT_API_URL", str(PREFECT_API_URL.value()))
            yield


@pytest.fixture(scope="session")
def running() -> Iterator[StandIns]:
    """Both stand-ins on free ports; started once, for a start takes time."""
    with stand_ins(per_minute=100_000) as both:
        notion_added(both)
        yield both


@pytest.fixture
def services(running: StandIns) -> StandIns:
    """Both stand-ins as if they were new: only the templates are there, nothing misbehaves."""
    renewed(running)
    return running


@pytest.fixture
def world(server: None, services: StandIns, monkeypatch: pytest.MonkeyPatch) -> World:
    """Server, stand-ins and settings that point at them; Notion's added properties are there.

    Nobody has read ahead: what a test before this one has looked at spares this one nothing.
    """
    with Prefect() as prefect:
        for name in (ahead.LIST, edits.SEEN):
            prefect.forget(name)
    return World(services, monkeypatch)


@pytest.fixture(scope="module")
def zygotes() -> Iterator[Callable[[World, int], list[Tries]]]:
    """So many of them; started by the first who asks: every world's environment is the same, a start takes time."""
    started: list[Tries] = []
    with contextlib.ExitStack() as stack:

        def begin(world: World, number: int) -> list[Tries]:
            while len(started) < number:
                started.append(stack.enter_context(tries(os.environ["PREFECT_API_URL"], world.environment)))
            return started

        yield begin


@pytest.fixture
def past(world: World) -> Iterator[Past]:
    """The five deployments of before, and a worker of ours in the pool; ours again at the end."""
    from flows.operator.cutover import stage  # noqa: PLC0415
    from flows.operator.register import register  # noqa: PLC0415

    with client_of(os.environ["PREFECT_API_URL"]) as client:
        found = Past(world, client)
        found.forget()
        found.worker()
        yield found
        found.forget()
        with Prefect() as prefect:
            stage.forget(prefect)
        client.delete("/work_pools/default/workers/hublab-1")
    register("default")
