"""How a host is looked at: releases against what they were, units and files."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from deploy.onhost import inspect_host
from deploy.onhost.common import guard_digest, packages, tree_digest
from deploy.onhost.wire import Places, decode, encode
from deploy.plan import make
from deploy.state import HostState, Release, question
from tests.deploy.factories import wanted

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

FILES = {"worker/__init__.py": "", "worker/__main__.py": "print()\n", "flows/mails.py": "x = 1\n"}
SITE = "venv/lib/python3.12/site-packages"


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """A finished release as far as its folder tells."""
    folder = tmp_path / "3.8.8-0123456789"
    for name, content in {
        **FILES,
        f"{SITE}/hublab.pth": "import sys\n",
        f"{SITE}/prefect-3.8.8.dist-info/RECORD": "",
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    written = {
        "id": folder.name,
        "prefect": "3.8.8",
        "code": tree_digest(folder, list(FILES)),
        "code_files": list(FILES),
        "guard": guard_digest(folder),
        "packages": packages(folder),
    }
    (folder / "REVISION").write_text(json.dumps(written))
    return folder


def test_release_as_it_was_built(release: Path) -> None:
    # No link leads to an interpreter elsewhere.
    whole = Release(release.name, complete=True, prefect="3.8.8", python_prefix=str(release / "venv"))
    assert inspect_host.release(release) == whole


def swap(release: Path) -> None:
    (release / "worker/__main__.py").write_text("import os\n")


def drop(release: Path) -> None:
    (release / "flows/mails.py").unlink()


def smuggle(release: Path) -> None:
    (release / "flows/extra.py").write_text("import uvloop\n")


def undo_guard(release: Path) -> None:
    (release / SITE / "zz.pth").write_text("import sys; sys.modules.pop('uvloop')\n")


def add(release: Path) -> None:
    (release / SITE / "uvloop-0.21.0.dist-info").mkdir()


def upgrade(release: Path) -> None:
    (release / SITE / "prefect-3.8.8.dist-info").rename(release / SITE / "prefect-3.9.0.dist-info")


def open_guard(release: Path) -> None:
    (release / SITE / "hublab.pth").write_text("")


def remove_guard(release: Path) -> None:
    (release / SITE / "hublab.pth").unlink()


@pytest.mark.parametrize(
    ("tamper", "key", "value"),
    [
        (swap, "code_changed", True),
        (drop, "code_changed", True),
        (smuggle, "code_changed", True),
        (undo_guard, "guard", False),
        (add, "added", ("uvloop-0.21.0",)),
        (upgrade, "added", ("prefect-3.9.0",)),
        (upgrade, "missing", ("prefect-3.8.8",)),
        (open_guard, "guard", False),
        (remove_guard, "guard", False),
    ],
)
def test_release_that_was_tampered_with_is_incomplete(
    release: Path, tamper: Callable[[Path], None], key: str, value: object
) -> None:
    before = inspect_host.release(release)
    tamper(release)
    after = inspect_host.release(release)
    assert getattr(before, key) != value
    assert getattr(after, key) == value


@pytest.mark.parametrize("text", [None, "", "{", '{"id": ', "[1]", "{}"])
def test_release_without_its_last_word_is_not_complete(release: Path, text: str | None) -> None:
    (release / "REVISION").unlink()
    if text is not None:
        (release / "REVISION").write_text(text)
    assert inspect_host.release(release) == Release(release.name, complete=False)


def test_mode_owner_and_digest_of_a_file_are_told(tmp_path: Path) -> None:
    path = tmp_path / "profiles.toml"
    path.write_text("secret")
    path.chmod(0o640)
    found = inspect_host.file_facts(str(path))
    assert found is not None
    assert (found.mode, found.uid, found.gid) == ("0640", os.getuid(), path.stat().st_gid)
    assert found.sha256 == hashlib.sha256(b"secret").hexdigest()
    folder = inspect_host.file_facts(str(tmp_path))
    assert folder is not None
    assert folder.sha256 == ""
    assert inspect_host.file_facts(str(tmp_path / "nothing")) is None


def test_free_space_of_a_folder_that_will_be(tmp_path: Path) -> None:
    assert inspect_host.free_bytes(str(tmp_path / "a/b/c")) > 0


def test_question_that_fails_leaves_the_others_their_answers() -> None:
    def broken() -> str:
        raise RecursionError("too deep \x1b[2J")

    asked = inspect_host.Asked()
    assert (asked("hostname", lambda: "h", ""), asked("lock", broken, "")) == ("h", "")
    assert asked.faults == {"lock": "RecursionError: too deep ?[2J"}


def test_host_of_which_nothing_can_be_looked_at_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every single question fails: still an answer that can be read, and a deploy that goes no further."""
    asked = inspect_host.Asked.__call__

    def fail(self: inspect_host.Asked, name: str, _: object, otherwise: object) -> object:
        return asked(self, name, lambda: 1 / 0, otherwise)

    monkeypatch.setattr(inspect_host.Asked, "__call__", fail)
    host = wanted()
    found = decode(HostState, encode(inspect_host.facts(question(host))))
    told = [problem.what for problem in make(host, found).problems]
    assert "the host's former could not be looked at: ZeroDivisionError: division by zero" in told
    assert len([line for line in told if "ZeroDivisionError" in line]) == len(found.faults) > 20


def test_what_units_are_told_is_where_it_lies_behind_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "srv/python3.12").mkdir(parents=True)
    (tmp_path / "opt").symlink_to(tmp_path / "srv")
    monkeypatch.setattr(sys, "base_prefix", str(tmp_path / "opt/python3.12"))
    query = replace(question(wanted(api_url="http://127.0.0.1:9/api")), places=Places(base=tmp_path / "opt"))
    found = inspect_host.facts(query)
    assert found.python_prefix == str(tmp_path / "srv/python3.12")
    assert found.root == str(tmp_path / "srv/root")
