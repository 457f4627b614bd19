"""What the on-host programs share: files are old or new, never between; links move in one step."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from deploy.onhost.common import HostError, ask, must, packages, read, tree_digest, write_atomically
from deploy.onhost.finish_host import FinishHost, audit, link
from deploy.onhost.finish_host import main as finish
from deploy.onhost.record import Line
from deploy.onhost.wire import Places


def listing(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("mode", [0o600, 0o644, 0o444])
def test_written_file_has_its_mode_and_content(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "unit"
    path.write_text("old")
    path.chmod(0o777)
    write_atomically(path, "new – é\n", mode)
    assert path.read_text() == "new – é\n"
    assert path.stat().st_mode & 0o7777 == mode
    assert listing(tmp_path) == ["unit"]


def test_failed_write_keeps_the_old_file_and_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "unit"
    path.write_text("old")
    with pytest.raises(UnicodeEncodeError):
        write_atomically(path, "half" * 10_000 + "\ud800", 0o644)
    assert path.read_text() == "old"
    assert listing(tmp_path) == ["unit"]


def test_write_that_cannot_be_renamed_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "unit/inside").mkdir(parents=True)
    with pytest.raises(OSError, match="unit"):
        write_atomically(tmp_path / "unit", "new", 0o644)
    assert listing(tmp_path) == ["unit"]


def test_reading_what_is_gone_is_empty(tmp_path: Path) -> None:
    assert read(tmp_path / "nothing") == b""
    assert read(tmp_path) == b""


def test_programs_that_fail_are_told_with_their_last_lines() -> None:
    assert must("sh", "-c", "cat", stdin="x") == "x"
    with pytest.raises(HostError, match=r"sh -c .* ended with status 3:\nline 2"):
        must("sh", "-c", "echo line 2 >&2; exit 3")
    with pytest.raises(HostError, match="timed out"):
        must("sleep", "20", timeout=0.1)
    with pytest.raises(HostError, match="No such file"):
        must("/nowhere/program")
    assert ask("/nowhere/program") == ""


def test_digest_knows_names_and_contents(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1")
    (tmp_path / "b").write_text("2")
    digest = tree_digest(tmp_path, ["a", "b"])
    assert tree_digest(tmp_path, ["b", "a"]) == digest
    (tmp_path / "b").rename(tmp_path / "c")
    assert tree_digest(tmp_path, ["a", "c"]) != digest
    assert tree_digest(tmp_path, ["a", "b"]) != digest


def test_packages_by_their_metadata(tmp_path: Path) -> None:
    site = tmp_path / "venv/lib/python3.12/site-packages"
    for name in ("b-2.dist-info", "a-1.dist-info", "a", "c.egg-info"):
        (site / name).mkdir(parents=True)
    assert packages(tmp_path) == ["a-1", "b-2"]


def test_link_is_never_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is replaced in one rename, never removed: a worker that starts in that very moment finds one of the two."""
    removed: list[Path] = []
    unlink = Path.unlink

    def recorded(path: Path, *, missing_ok: bool = False) -> None:
        removed.append(path)
        unlink(path, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", recorded)
    current = tmp_path / "current"
    for target in ("a", "b"):
        link(current, tmp_path / target)
        assert current.readlink() == tmp_path / target
    assert current not in removed
    assert listing(tmp_path) == ["current"]


def test_link_that_was_cut_off_before_is_no_hindrance(tmp_path: Path) -> None:
    (tmp_path / ".current.new").symlink_to("/nowhere")
    link(tmp_path / "current", tmp_path)
    assert listing(tmp_path) == ["current"]


def test_audit_appends_one_line_a_deploy(tmp_path: Path) -> None:
    path = tmp_path / "deploys.jsonl"
    for result in ("ok", "h-1 failed its gate"):
        audit(Line("deploy@desk", result=result), None, path)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["result"] for line in lines] == ["ok", "h-1 failed its gate"]
    assert all(line["at"].endswith("Z") and line["who"] == "deploy@desk" for line in lines)
    assert path.stat().st_mode & 0o7777 == 0o644


def test_finish_switches_prunes_and_remembers(tmp_path: Path) -> None:
    for name in ("old", "new", "older"):
        (tmp_path / "releases" / name / "venv").mkdir(parents=True)
    (tmp_path / "w.service").write_text("a unit")
    (tmp_path / "units/older").mkdir(parents=True)
    (tmp_path / "before/passed").mkdir(parents=True)
    kept, record = tmp_path / "units", tmp_path / "deploys.jsonl"
    places = Places(tmp_path, before=tmp_path / "before", kept=kept, units=tmp_path, record=record)
    query = FinishHost(
        places=places,
        kept=("w.service",),
        ended=True,
        surplus=(),
        switch=True,
        release="new",
        previous="old",
        prune=("older", "never there"),
        audit=Line(),
    )
    assert finish(query) == 0
    assert listing(tmp_path / "units") == ["new"]
    assert (tmp_path / "units/new/w.service").read_text() == "a unit"
    assert not (tmp_path / "before").exists()
    assert (tmp_path / "current").readlink() == tmp_path / "releases/new"
    assert (tmp_path / "previous").readlink() == tmp_path / "releases/old"
    assert sorted(listing(tmp_path / "releases")) == ["new", "old"]
    (tmp_path / "before").mkdir()
    finish(replace(query, prune=(), ended=False, switch=False, release="x", previous="y"))
    assert (tmp_path / "before").is_dir()
    assert listing(tmp_path / "units") == ["new"]
    assert (tmp_path / "current").readlink() == tmp_path / "releases/new"
