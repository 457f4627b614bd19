"""What the end of a rollout takes away from a host."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from deploy.onhost import finish_host

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def stands_on(base: Path, release: str, python: Path) -> None:
    link = base / "releases" / release / "venv/bin/python"
    link.parent.mkdir(parents=True)
    link.symlink_to(python)


def test_worker_that_goes_has_the_time_that_its_own_unit_gives_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its runs were promised that; the settings of now may say less."""
    told: dict[str, float] = {}
    monkeypatch.setattr(finish_host, "must", lambda *argv, timeout=600.0: told.update({argv[1]: timeout}))
    (tmp_path / "prefect-worker@3.service").write_text("[Service]\nTimeoutStopSec=86460\n")
    finish_host.remove_worker("prefect-worker@3.service", tmp_path)
    assert told["stop"] > 86460
    assert not list(tmp_path.iterdir())


def test_interpreter_goes_with_the_last_release_that_stands_on_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = {name: tmp_path / "python" / name / "bin/python3.12" for name in ("kept", "of-nobody", "runs-this")}
    for program in programs.values():
        program.parent.mkdir(parents=True)
        program.touch()
    stands_on(tmp_path, "a", programs["kept"])
    monkeypatch.setattr(sys, "executable", str(programs["runs-this"]))
    finish_host.prune_interpreters(tmp_path)
    assert sorted(path.name for path in (tmp_path / "python").iterdir()) == ["kept", "runs-this"]
    (tmp_path / "releases/a/venv/bin/python").unlink()
    finish_host.prune_interpreters(tmp_path)
    assert [path.name for path in (tmp_path / "python").iterdir()] == ["runs-this"]


def test_interpreter_in_use_stays_where_opt_is_a_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "srv/python/kept/bin/python3.12"
    program.parent.mkdir(parents=True)
    program.touch()
    (tmp_path / "opt").symlink_to(tmp_path / "srv")
    stands_on(tmp_path / "opt", "a", program)
    monkeypatch.setattr(sys, "executable", "/usr/bin/python3")
    finish_host.prune_interpreters(tmp_path / "opt")
    assert program.exists()
