from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def trees(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One set of file trees for every sandbox of this session: building them takes minutes."""
    given = os.environ.get("HUBLAB_SANDBOX_TREES")
    folder = Path(given) if given else tmp_path_factory.mktemp("shared") / "trees"
    yield folder
    if not given:
        shutil.rmtree(folder, ignore_errors=True)  # a gigabyte, which pytest would keep


@pytest.fixture(scope="session")
def sandbox(tmp_path_factory: pytest.TempPathFactory, trees: Path) -> Iterator[Sandbox]:
    """A sandbox of this session's own, in a folder of its own, with two hosts."""
    # A run of the tests that is told to stop shall take its machines with it.
    signal.signal(signal.SIGTERM, lambda *_: pytest.exit("terminated", returncode=143))
    root = tmp_path_factory.mktemp("own") / "sandbox"
    try:
        yield Sandbox.up(hosts=2, root=root, trees=trees)
    finally:
        Sandbox.at(root, trees).down()
