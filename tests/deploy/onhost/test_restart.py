"""What the operator is told of a worker while systemd moves it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from deploy.onhost import worker_unit
from deploy.onhost.wire import Places
from deploy.onhost.worker_unit import Moves, move, restart

if TYPE_CHECKING:
    from pathlib import Path

SYSTEMCTL = """#!/bin/sh
case $1 in
    restart) sleep 1 ;;
    show) printf 'polling default, 0 runs in flight\\n%s\\n' {state} ;;
esac
"""


@pytest.mark.parametrize(
    ("state", "said"),
    [("inactive", ""), ("failed", ""), ("deactivating", "h-1: polling default, 0 runs in flight\n")],
)
def test_last_words_of_a_process_that_is_gone_are_not_told(
    state: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (program := tmp_path / "systemctl").write_text(SYSTEMCTL.format(state=state))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    restart("prefect-worker@1.service", "h-1", 30, "")
    assert capsys.readouterr().out == said


@pytest.mark.parametrize(("before", "after"), [(7260, 120), (120, 7260)])
def test_worker_that_was_promised_longer_is_waited_for(
    before: int, after: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It asks systemd for more time as long as it drains, by the drain that it was started with."""
    unit, limits = "prefect-worker@1.service", list[float]()
    monkeypatch.setattr(worker_unit, "put", lambda path, text: path.write_text(text))
    monkeypatch.setattr(worker_unit, "restart", lambda _unit, _label, limit, _text: limits.append(limit))
    monkeypatch.setattr(worker_unit, "gate", lambda *_: 1.0)
    text = "Environment=HUBLAB_WORKER_NAME=h-1\nTimeoutStopSec={}\n"
    (tmp_path / unit).write_text(text.format(before))
    move(Moves(gate_seconds=1, places=Places(units=tmp_path)), unit, text.format(after))
    assert limits == [7260 + worker_unit.START_SECONDS]
