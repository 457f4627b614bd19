"""A whole campaign in this process: a Prefect server, both stand-ins, the webhooks, the funnel, and one worker."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from e2e.browser import opened
from tests.e2e.theatre import Theatre

# The server, the stand-ins and the settings are those of the flows' own tests.
from tests.flows.conftest import running, server, services, world

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser

    from tests.flows.world import World

__all__ = ["running", "server", "services", "world"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium, started once for a module whose tests do not start it themselves."""
    with opened() as chromium:
        yield chromium


@pytest.fixture
def theatre(world: World, tmp_path: Path) -> Iterator[Theatre]:
    """Everything open, one worker at work."""
    with Theatre(world, tmp_path) as open_:
        yield open_
