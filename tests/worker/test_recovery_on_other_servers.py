"""No run is forgotten, whatever version the server has: the same tests at the oldest and at the one of before."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sandbox.local.server import UNSEEN, Api, prefect_server
from tests.servers import BEFORE, OLDEST, program
from tests.worker.test_recovery import *  # noqa: F403 - every test there is, now and later

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.long


@pytest.fixture(scope="module", params=(OLDEST, BEFORE))
def version(request: pytest.FixtureRequest) -> str:
    """The server's."""
    return str(request.param)


@pytest.fixture(scope="module")
def server(version: str, tmp_path_factory: pytest.TempPathFactory, nothing_left: None) -> Iterator[int]:
    """The port of a real server of that version."""
    with prefect_server(tmp_path_factory.mktemp("server"), program(version), **UNSEEN) as port:
        yield port


@pytest.fixture(scope="module")
def api(server: int) -> Api:
    """That server, asked directly."""
    return Api(server)


def test_server_is_of_that_version(api: Api, version: str) -> None:
    """Without it, all of the above could be about the workers' own version."""
    assert api.get("/admin/version") == version
