"""What the on-host programs share: files are old or new, never between; links move in one step; uploads stay inside."""

from __future__ import annotations

import io
import json
import os
import tarfile
from pathlib import Path
from typing import Any

import pytest

from deploy.onhost.build_release import main as build
from deploy.onhost.build_release import unpack
from deploy.onhost.common import HostError, ask, must, packages, read, tree_digest, write_atomically
from deploy.onhost.finish_host import audit, link
from deploy.onhost.finish_host import main as finish
from deploy.release import identity, install


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
    for result in ("ok", "h-1 failed its gate"):
        audit({"state": str(tmp_path), "audit": {"who": "deploy@desk", "result": result}})
    path = tmp_path / "deploys.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["result"] for line in lines] == ["ok", "h-1 failed its gate"]
    assert all(line["at"].endswith("Z") and line["who"] == "deploy@desk" for line in lines)
    assert path.stat().st_mode & 0o7777 == 0o644


def test_finish_switches_prunes_and_remembers(tmp_path: Path) -> None:
    for name in ("old", "new", "older"):
        (tmp_path / "releases" / name / "venv").mkdir(parents=True)
    query: dict[str, Any] = {"base": str(tmp_path), "state": str(tmp_path), "units": str(tmp_path), "surplus": []}
    query |= {"before": str(tmp_path / "before"), "kept_units": str(tmp_path / "units"), "kept": ["w.service"]}
    (tmp_path / "w.service").write_text("a unit")
    (tmp_path / "units/older").mkdir(parents=True)
    (tmp_path / "before/passed").mkdir(parents=True)
    query |= {"drain_seconds": 1, "audit": {}, "prune": ["older", "never there"]}
    assert finish({**query, "ended": True, "switch": True, "release": "new", "previous": "old"}) == 0
    assert listing(tmp_path / "units") == ["new"]
    assert (tmp_path / "units/new/w.service").read_text() == "a unit"
    assert not (tmp_path / "before").exists()
    assert (tmp_path / "current").readlink() == tmp_path / "releases/new"
    assert (tmp_path / "previous").readlink() == tmp_path / "releases/old"
    assert sorted(listing(tmp_path / "releases")) == ["new", "old"]
    (tmp_path / "before").mkdir()
    finish({**query, "prune": [], "ended": False, "switch": False, "release": "x", "previous": "y"})
    assert (tmp_path / "before").is_dir()
    assert listing(tmp_path / "units") == ["new"]
    assert (tmp_path / "current").readlink() == tmp_path / "releases/new"


def archive(path: Path, *names: str) -> Path:
    with tarfile.open(path, "w") as tar:
        for name in names:
            member = tarfile.TarInfo(name)
            member.size = 1
            tar.addfile(member, io.BytesIO(b"x"))
    return path


@pytest.mark.parametrize("name", ["../x", "worker/../../x", "wheels/../../x", "/etc/x"])
def test_payload_that_leaves_its_folder_is_refused(tmp_path: Path, name: str) -> None:
    base = tmp_path / "base"
    release = base / "releases/r"
    release.mkdir(parents=True)
    payload = archive(tmp_path / "payload.tar", name)
    before = sorted(str(path) for path in tmp_path.rglob("*"))
    if name.startswith("/"):
        unpack(payload, base, release)  # tarfile's data filter makes it relative
        assert (release / "etc/x").is_file()
        return
    with pytest.raises(tarfile.OutsideDestinationError):
        unpack(payload, base, release)
    assert sorted(str(path) for path in tmp_path.rglob("*")) == before


def test_payload_arrives_as_it_was_sent(tmp_path: Path) -> None:
    (tmp_path / "w").mkdir()
    wheel = archive(tmp_path / "w/x-1-py3-none-any.whl", "x")
    install._write_archive(tmp_path / "p.tar", [wheel], "prefect==3.8.8\n")
    base = tmp_path / "base"
    (base / "releases/r").mkdir(parents=True)
    unpack(tmp_path / "p.tar", base, base / "releases/r")
    assert (base / "wheels" / wheel.name).read_bytes() == wheel.read_bytes()
    assert (base / "releases/r/requirements.lock").read_text() == "prefect==3.8.8\n"
    code = identity.shipped_code()
    assert tree_digest(base / "releases/r", list(code.files)) == code.digest
    assert {path.stat().st_mode & 0o777 for path in (base / "releases/r").rglob("*.py")} == {0o644}


def test_payload_that_is_cut_off_leaves_no_half_wheel(tmp_path: Path) -> None:
    payload = archive(tmp_path / "payload.tar", "wheels/whole-1-py3-none-any.whl", "wheels/half-1-py3-none-any.whl")
    payload.write_bytes(payload.read_bytes()[:1536])  # in the middle of the second one
    with pytest.raises(tarfile.TarError):
        unpack(payload, tmp_path, tmp_path / "releases/r")
    assert not list(tmp_path.rglob("*.whl"))


@pytest.mark.parametrize("names", [["../x"], ["wheels/x-1-py3-none-any.whl"]])
def test_release_that_cannot_be_built_is_absent(
    tmp_path: Path, names: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    payload = archive(tmp_path / "payload.tar", *names)
    (tmp_path / "releases/r/half").mkdir(parents=True)
    (tmp_path / ".payload-of-another").touch()
    query = {"base": str(tmp_path), "release": "r", "payload": str(payload), "uv": "0.1", "keep": []}
    before = os.umask(0o022)
    try:
        assert build(query) == 1
    finally:
        os.umask(before)
    assert "release r could not be built; nothing else was changed: " in capsys.readouterr().out
    assert listing(tmp_path / "releases") == []
    assert not payload.exists()
    assert not (tmp_path / ".payload-of-another").exists()
    assert not list(tmp_path.glob("wheels/*"))
