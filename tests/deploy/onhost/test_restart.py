"""What the operator is told of a worker while systemd moves it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from deploy.onhost.worker_unit import restart

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
