"""The campaign's deployments at a real Prefect server on loopback, and the flows' own client of it."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings

from flows.operator.register import register
from flows.services.prefect_api import Prefect
from sandbox.local.processes import AUTH
from sandbox.local.server import PREFECT, Api, prefect_server
from sandbox.server import POOL

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def registered(home: Path, program: str = PREFECT) -> Iterator[tuple[Api, Prefect]]:
    """A server of this program of Prefect's with pool, deployments and limits: asked directly, and as flows ask it."""
    with prefect_server(home, program) as port:
        api = Api(port)
        api.post("/work_pools/", {"name": POOL, "type": "process"})
        there = {PREFECT_API_URL: f"http://127.0.0.1:{port}/api", PREFECT_API_AUTH_STRING: AUTH}
        with temporary_settings(there), Prefect() as prefect:
            register(POOL)
            yield api, prefect
