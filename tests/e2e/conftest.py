"""A whole campaign in this process: a Prefect server, both stand-ins, the webhooks, the funnel, and one worker."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from e2e.browser import opened
from tests.e2e.post import mail_server
from tests.e2e.theatre import MAILBOX, Theatre

# The server, the stand-ins and the settings are those of the flows' own tests.
from tests.flows.conftest import running, server, services, world

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser

    from sandbox.mail import MailServer
    from tests.flows.world import World

__all__ = ["running", "server", "services", "world"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium, started once for a module whose tests do not start it themselves."""
    with opened() as chromium:
        yield chromium


@pytest.fixture(scope="package")
def post(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MailServer]:
    """The sandbox's mail server, with the box of whom the campaign writes to."""
    with mail_server(tmp_path_factory.mktemp("post") / "sandbox", MAILBOX) as running:
        yield running


@pytest.fixture
def theatre(world: World, post: MailServer, tmp_path: Path) -> Iterator[Theatre]:
    """Everything open, one worker at work."""
    with Theatre(world, post, tmp_path) as open_:
        yield open_
