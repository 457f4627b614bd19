"""A release's name: the same inputs give the same name, any other input another."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from deploy.onhost.common import tree_digest
from deploy.release import identity, requirements
from deploy.release.identity import Code, choose, release_id, shipped_code
from deploy.state import Release

if TYPE_CHECKING:
    from pathlib import Path

LOCK = "prefect==3.8.8 \\\n    --hash=sha256:00\nwin==1 ; sys_platform == 'win32' \\\n    --hash=sha256:01\n"


@pytest.fixture
def inputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A lock and code of our own behind `release_id`."""
    (tmp_path / "requirements.lock").write_text(LOCK)
    for name in ("worker/__init__.py", "flows/mails.py"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text(f"# {name}\n")
    monkeypatch.setattr(requirements, "text", (tmp_path / "requirements.lock").read_text)
    monkeypatch.setattr(identity, "shipped_code", lambda: shipped_code.__wrapped__(tmp_path))
    return tmp_path


def test_name_begins_with_prefects_version() -> None:
    assert re.fullmatch(r"3\.\d+\.\d+-[0-9a-f]{10}-[0-9a-f]{6}", release_id("3.12.1", "/usr/local"))


def test_same_inputs_give_a_release_the_same_name(inputs: Path) -> None:
    assert release_id("3.12.1", "/usr/local") == release_id("3.12.1", "/usr/local")


def test_another_lock_is_another_release(inputs: Path) -> None:
    before = release_id("3.12.1", "/usr/local")
    (inputs / "requirements.lock").write_text(LOCK.replace("sha256:00", "sha256:02"))
    assert release_id("3.12.1", "/usr/local") != before


def test_another_python_is_another_release(inputs: Path) -> None:
    assert len({release_id(version, "/usr/local") for version in ("3.12.1", "3.12.11", "3.13.1")}) == 3


@pytest.mark.parametrize("name", ["worker/__init__.py", "flows/mails.py", "flows/new.py", "worker/data.toml"])
def test_other_code_is_another_release(inputs: Path, name: str) -> None:
    before = release_id("3.12.1", "/usr/local")
    (inputs / name).write_text("# changed\n")
    assert release_id("3.12.1", "/usr/local") != before


def test_another_guard_is_another_release(inputs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = release_id("3.12.1", "/usr/local")
    monkeypatch.setattr(identity, "GUARD", "import sys\n")
    assert release_id("3.12.1", "/usr/local") != before


@pytest.mark.parametrize(
    "name",
    ["pyproject.toml", "requirements-dev.lock", "deploy/plan.py", "flows/__pycache__/mails.py", "flows/notes.md"],
)
def test_what_is_not_shipped_makes_no_other_release(inputs: Path, name: str) -> None:
    before = release_id("3.12.1", "/usr/local")
    (inputs / name).parent.mkdir(exist_ok=True)
    (inputs / name).write_text("changed\n")
    assert release_id("3.12.1", "/usr/local") == before


def test_moved_file_changes_the_digest() -> None:
    assert Code({"a.py": b"1", "b.py": b"2"}).digest != Code({"a.py": b"2", "b.py": b"1"}).digest
    assert Code({"ab": b"c"}).digest != Code({"a": b"bc"}).digest
    assert Code({"a": b"1", "b": b"2"}).digest == Code({"b": b"2", "a": b"1"}).digest


def test_host_computes_the_same_digest(tmp_path: Path) -> None:
    code = shipped_code()
    for name, content in code.files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    assert tree_digest(tmp_path, list(code.files)) == code.digest
    (tmp_path / "worker/__main__.py").write_text("import uvloop\n")
    assert tree_digest(tmp_path, list(code.files)) != code.digest


def test_shipped_code_is_worker_and_flows_alone() -> None:
    files = shipped_code().files
    assert "worker/__main__.py" in files
    assert {name.partition("/")[0] for name in files} == {"worker", "flows"}
    assert not any("__pycache__" in name or name.endswith(".pyc") for name in files)


def test_guard_shuts_uvloop_out_and_puts_the_code_on_the_path() -> None:
    first, second, rest = identity.GUARD.format(release="/opt/hublab/releases/x").split("\n")
    assert first.startswith("import "), "site.py executes a line of a .pth only when it begins with import"
    modules: dict[str, object] = {}
    exec(first.replace("import sys; sys.modules", "modules"), {"modules": modules})  # noqa: S102 - what site.py does
    assert modules == {"uvloop": None}
    assert (second, rest) == ("/opt/hublab/releases/x", "")


def test_locked_versions_of_every_line(tmp_path: Path) -> None:
    (tmp_path / "lock").write_text(LOCK)
    assert requirements.locked_versions(tmp_path / "lock") == {"prefect": "3.8.8", "win": "1"}


GOOD, HALF, BAD = {"complete": True}, {"complete": False}, {"complete": True, "guard": False}


@pytest.mark.parametrize(
    ("there", "name", "build"),
    [
        ({}, "r", True),
        ({"r": GOOD}, "r", False),
        ({"r": HALF}, "r", True),
        ({"r": BAD}, "r.2", True),
        ({"r": BAD, "r.2": GOOD}, "r.2", False),
        ({"r": BAD, "r.2": HALF}, "r.2", True),
        ({"r": BAD, "r.2": BAD}, "r.3", True),
        ({"r.2": BAD, "r.3": GOOD}, "r.3", False),  # the first has been removed since
        ({"r.2": BAD}, "r.3", True),
        ({"r": GOOD, "r.10": BAD, "r.9": BAD}, "r.11", True),
        ({"other": GOOD, "rr": GOOD, "r.x": GOOD, "r-2": GOOD}, "r", True),
    ],
)
def test_whole_release_is_used_again_and_a_bad_one_is_built_beside_it(
    there: dict[str, dict[str, Any]], name: str, build: bool
) -> None:
    releases = {key: Release(key, **facts) for key, facts in there.items()}
    assert choose("r", releases) == (name, build)
