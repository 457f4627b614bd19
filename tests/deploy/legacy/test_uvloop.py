"""uvloop leaves a legacy environment by its owner's hand, from two folders with known names, or it stays, and why."""

from __future__ import annotations

import os
import subprocess
import tempfile
import venv
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from deploy.legacy import uvloop
from deploy.legacy.environment import sites, versions
from deploy.onhost.state import Uvloop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NOBODY = 65534


@dataclass
class Environment:
    """A real virtual environment with a uvloop in it, as pip and uv install it."""

    folder: Path
    uid: int = 0

    @property
    def site(self) -> Path:
        return next(self.folder.glob("lib/python3*/site-packages"))

    def give(self, uid: int, folder: Path | None = None) -> None:
        self.uid = uid
        subprocess.run(["chown", "-hR", f"{uid}:{uid}", folder or self.folder], check=True)

    def found(self, uid: int | None = None, *, vouched: bool = False) -> tuple[Uvloop, ...]:
        return uvloop.found([str(self.site)], self.uid if uid is None else uid, vouched=vouched)

    def remove(self) -> None:
        for item in self.found():
            uvloop.remove(item, self.uid, vouched=False)

    @property
    def whole(self) -> bool:
        return (self.site / "uvloop/__init__.py").exists() and (self.site / "uvloop-0.21.0.dist-info").exists()


@pytest.fixture
def environment() -> Iterator[Environment]:
    """Where every folder above is root's, and none but root writes: /tmp is neither."""
    with tempfile.TemporaryDirectory(dir="/opt") as folder:
        Path(folder).chmod(0o755)
        venv.create(f"{folder}/venv", symlinks=True)
        found = Environment(Path(folder, "venv"))
        for name, content in {
            "uvloop/__init__.py": "installed = True\n",
            "uvloop/_testbase/x.py": "",
            "uvloop/loop.abi3.so": "",
            "uvloop-0.21.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: uvloop\nVersion: 0.21.0\n",
            "uvloop-0.21.0.dist-info/RECORD": "../../../../../../etc/hublab-victim,,\n",
        }.items():
            (found.site / name).parent.mkdir(parents=True, exist_ok=True)
            (found.site / name).write_text(content)
        (found.site / "neighbour.py").write_text("")
        yield found


@pytest.mark.parametrize("uid", [0, NOBODY])
def test_uvloop_is_removed_as_its_owner_and_nothing_else(
    environment: Environment, uid: int, capsys: pytest.CaptureFixture[str]
) -> None:
    victim = environment.folder.parent / "victim"
    victim.write_text("")
    (environment.site / "uvloop-0.21.0.dist-info/RECORD").write_text(f"{victim},,\nneighbour.py,,\n")
    environment.give(uid)
    site = environment.site
    assert environment.found() == (Uvloop(str(site), "0.21.0", ""),)
    environment.remove()
    assert capsys.readouterr().out == f"uvloop removed from {site}\n"
    assert sorted(path.name for path in site.iterdir() if "uvloop" in path.name) == []
    assert (site / "neighbour.py").exists()
    assert victim.exists()
    environment.remove()
    assert capsys.readouterr().out == ""


def test_roots_environment_is_roots_choice(environment: Environment) -> None:
    """A user who starts a worker from it decides nothing; root's own unit that does so does."""
    assert environment.found(NOBODY)[0].stays == "it belongs to another user than the worker"
    assert environment.found(NOBODY, vouched=True)[0].stays == ""


def test_users_environment_is_not_anothers(environment: Environment) -> None:
    environment.give(NOBODY)
    assert environment.found(1)[0].stays == "it belongs to another user than the worker"
    assert environment.found(1, vouched=True)[0].stays == "it belongs to another user than the worker"


def link_package(found: Environment, victim: Path) -> None:
    (found.site / "uvloop").rename(victim / "kept")
    (found.site / "uvloop").symlink_to(victim)


def link_metadata(found: Environment, victim: Path) -> None:
    (found.site / "uvloop-0.21.0.dist-info").rename(victim / "kept")
    (found.site / "uvloop-0.21.0.dist-info").symlink_to(victim)


def anothers_folder(found: Environment, victim: Path) -> None:
    found.give(1, found.site / "uvloop")
    found.uid = 0


def open_above(found: Environment, victim: Path) -> None:
    found.folder.parent.chmod(0o1777)


def open_group(found: Environment, victim: Path) -> None:
    (found.folder / "lib").chmod(0o775)


@pytest.mark.parametrize("twist", [link_package, link_metadata, anothers_folder, open_above, open_group])
def test_environment_of_roots_that_others_can_change_is_left_alone(
    environment: Environment, twist: Callable[[Environment, Path], None], tmp_path: Path
) -> None:
    (tmp_path / "precious").write_text("")
    twist(environment, tmp_path)
    assert "could be changed by others than its owner" in environment.found()[0].stays
    environment.remove()
    assert (tmp_path / "precious").exists()
    assert versions(str(environment.site), "uvloop") == ["0.21.0"]


@pytest.mark.parametrize("twist", [link_package, link_metadata])
def test_owner_who_swaps_a_folder_after_the_plan_harms_nobody(
    environment: Environment, twist: Callable[[Environment, Path], None], capsys: pytest.CaptureFixture[str]
) -> None:
    """The plan named a removal; by then a folder of it leads to a folder of root's."""
    environment.give(NOBODY)
    (item,) = environment.found()
    victim = environment.folder.parent / "victim"
    victim.mkdir()
    (victim / "precious").write_text("")
    twist(environment, victim)
    environment.give(NOBODY)
    uvloop.remove(item, NOBODY, vouched=False)
    assert (victim / "precious").exists()
    assert "stays in" in capsys.readouterr().out


def test_removal_itself_has_no_more_rights_than_the_owner(
    environment: Environment, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Even if every check before it were passed: what the owner cannot delete is not deleted."""
    environment.give(NOBODY)
    (item,) = environment.found()
    victim = environment.site / "uvloop/_testbase"
    subprocess.run(["chown", "-R", "0:0", victim], check=True)
    victim.chmod(0o755)
    monkeypatch.setattr(uvloop, "refusal", lambda *_, **__: "")
    uvloop.remove(item, NOBODY, vouched=False)
    assert (victim / "x.py").exists()
    assert capsys.readouterr().out == f"uvloop could not be removed from {environment.site}\n"


def test_packages_of_the_distribution_are_left_alone(
    environment: Environment, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(uvloop, "DPKG", str(tmp_path))
    (tmp_path / "python3-uvloop.list").write_text(f"/.\n{environment.site}/uvloop/loop.so\n")
    assert environment.found()[0].stays == ""
    (tmp_path / "python3-uvloop.list").write_text(f"/.\n{environment.site}\n{environment.site}/uvloop\n")
    assert environment.found()[0].stays == "a Debian package owns it"
    environment.remove()
    assert environment.whole


@pytest.mark.parametrize(
    ("name", "seen"),
    [
        ("uvloop-0.21.0.dist-info", ["0.21.0"]),
        ("uvloop-0.17.0+ds1.egg-info", ["0.17.0+ds1"]),
        ("uvloop-0.14.0-py3.9.egg-info", ["0.14.0"]),
        ("uvloop-\x1b[2J.dist-info", []),
        ("uvloop-1/../../x.dist-info".replace("/", "\u2215"), []),
        ("uvloop_extras-1.0.dist-info", []),
        ("~vloop-0.21.0.dist-info", []),
    ],
)
def test_version_by_the_name_of_a_folder(tmp_path: Path, name: str, seen: list[str]) -> None:
    (tmp_path / name).mkdir()
    assert versions(str(tmp_path), "uvloop") == seen


def test_version_of_a_package_that_is_nowhere() -> None:
    assert versions("/nowhere", "prefect") == []


def test_folders_of_packages_are_those_that_the_process_uses() -> None:
    """This very process has files of them mapped; and those beside an interpreter need no process."""
    used = sites(os.getpid(), "/nowhere/bin/python")
    assert any(versions(site, "pydantic_core") for site in used), used
    assert sites(os.getpid(), "/nowhere/bin/python") == used


def test_folder_of_packages_where_no_environment_has_one_ends_nothing() -> None:
    """A process may map files from anywhere: one below the root is looked at like any other."""
    assert uvloop.not_of(0, "/tmp", "0.21.0") == "/tmp"
    assert "could be changed by others" in uvloop.refusal("/tmp", "0.21.0", 0, vouched=False)
