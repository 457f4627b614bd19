"""What a host says of its units, from a folder of its own: no systemd is needed for what lies on disk (as root)."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from deploy.onhost import unit_facts as module

if TYPE_CHECKING:
    from pathlib import Path

UNIT = "prefect-worker@1.service"
NOBODY = 65534


def test_state_folder_that_a_run_could_change_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the failed deploy of an old checkout leaves it: its way back gave the folder to the worker again."""
    folder = tmp_path / "state/worker-1"
    for name in ("tmp", "prefect"):
        (folder / name).mkdir(parents=True)
    folder.chmod(0o711)
    (tmp_path / UNIT).write_text("StateDirectory=hublab/worker-1/tmp hublab/worker-1/prefect\n")
    monkeypatch.setattr(module, "BASE", str(tmp_path / "state"))
    monkeypatch.setattr(module, "ask", lambda *_: f"Id={UNIT}\nActiveState=inactive\n")
    assert module.unit_facts(str(tmp_path), {UNIT: 1})[UNIT].folders_ready
    os.chown(folder, NOBODY, NOBODY)
    assert not module.unit_facts(str(tmp_path), {UNIT: 1})[UNIT].folders_ready


def test_silent_systemd_is_no_word_for_a_worker_that_does_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Slower than it is waited for: a plan would start again what runs."""
    (tmp_path / UNIT).write_text("[Service]\n")
    monkeypatch.setattr(module, "ask", lambda *_: "")
    with pytest.raises(OSError, match="systemd does not say how prefect-worker@1"):
        module.unit_facts(str(tmp_path), {UNIT: 1})
