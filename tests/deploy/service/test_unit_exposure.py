"""systemd's own judgement of the unit as text; the running unit is judged on the host."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING

import pytest

from deploy.service import unit
from tests.deploy.factories import wanted

if TYPE_CHECKING:
    from pathlib import Path


def exposure(folder: Path, text: str) -> float:
    """0 (shut) to 10 (open)."""
    path = folder / "prefect-worker@1.service"
    path.write_text(re.sub(r"^ExecStart=.*$", "ExecStart=/bin/true", text, flags=re.MULTILINE))
    command = ["systemd-analyze", "security", "--offline=true", "--no-pager", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=180)
    found = re.search(r"Overall exposure level for \S+: ([\d.]+)", done.stdout)
    assert found, done.stderr
    return float(found[1])


@pytest.fixture(scope="module")
def text() -> str:
    return unit.render(wanted(), hostname="h", number=1, release="r", python_prefix="/usr/local")


def test_exposure_is_one_or_lower(tmp_path: Path, text: str) -> None:
    assert exposure(tmp_path, text) <= 1.0


@pytest.mark.parametrize("line", ["NoNewPrivileges=yes", "RestrictNamespaces=yes", "CapabilityBoundingSet=\n"])
def test_each_line_counts(tmp_path: Path, text: str, line: str) -> None:
    assert line in text
    assert exposure(tmp_path, text.replace(line, "")) > 1.0
