"""What holds for every test."""

from __future__ import annotations

import gc
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest


gc.disable()  # until what stays is there: to look through it again and again costs each process a second and a half
os.umask(0o022)  # whoever runs them: a `.env` that its group can write is refused


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what asks for a Prefect server, so that the mutation tests can do without, and what takes over a past."""
    for item in items:
        for fixture, marker in (("server", "server"), ("past", "long")):
            if fixture in getattr(item, "fixturenames", ()):
                item.add_marker(marker)


def pytest_collection_finish() -> None:
    """From here on there is something to be collected."""
    gc.freeze()
    gc.enable()
