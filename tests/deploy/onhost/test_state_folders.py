"""State folders that runs have prepared: put in order by root, which follows nothing that they left (as root)."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest

from deploy.onhost.state_folders import folders_ready, make_folders_ready

if TYPE_CHECKING:
    from pathlib import Path

NEW = "[Service]\nStateDirectory=hublab/worker-1/tmp hublab/worker-1/prefect\n"
OLD = "[Service]\nStateDirectory=hublab/worker-1 hublab/worker-1/tmp hublab/worker-1/prefect\n"
NOBODY = 65534


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """As a release up to 0.1 left it: all of it the worker's own."""
    for path in (tmp_path / "base/worker-1/tmp", tmp_path / "base/worker-1/prefect"):
        path.mkdir(parents=True)
        os.chown(path, NOBODY, NOBODY)
    os.chown(tmp_path / "base/worker-1", NOBODY, NOBODY)
    return tmp_path / "base"


def outside(tmp_path: Path) -> Path:
    path = tmp_path / "outside"
    path.mkdir(exist_ok=True)
    path.chmod(0o751)
    return path


def plant(kind: str, path: Path, tmp_path: Path) -> None:
    path.rmdir()
    if kind == "symlink to a folder":
        path.symlink_to(outside(tmp_path))
    elif kind == "symlink to nothing":
        path.symlink_to("/nowhere")
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        path.write_text("")


@pytest.mark.parametrize("kind", ["symlink to a folder", "symlink to nothing", "fifo", "file"])
@pytest.mark.parametrize("name", ["tmp", "prefect"])
@pytest.mark.parametrize("text", [NEW, OLD], ids=["new", "old"])
def test_what_stands_in_a_folders_place_is_moved_aside(
    base: Path, tmp_path: Path, kind: str, name: str, text: str
) -> None:
    plant(kind, base / "worker-1" / name, tmp_path)
    assert not folders_ready(text, str(base))
    make_folders_ready(text, str(base))
    assert not os.path.lexists(base / "worker-1" / name)
    assert len(list((base / "worker-1").glob(f"{name}.*"))) == 1
    assert folders_ready(text, str(base))
    if kind == "symlink to a folder":
        info = outside(tmp_path).stat()
        assert (info.st_uid, stat.S_IMODE(info.st_mode)) == (os.getuid(), 0o751)


def test_what_lies_above_becomes_roots_and_what_lies_in_it_is_left_to_systemd(base: Path) -> None:
    (base / "worker-1/tmp/locked").mkdir(mode=0o000)
    assert not folders_ready(NEW, str(base))
    make_folders_ready(NEW, str(base))
    above, below = (base / "worker-1").stat(), (base / "worker-1/tmp").stat()
    assert (above.st_uid, above.st_gid, stat.S_IMODE(above.st_mode), below.st_uid) == (0, 0, 0o711, NOBODY)
    assert folders_ready(NEW, str(base))


def test_a_unit_of_before_keeps_the_folder_that_it_names(base: Path) -> None:
    assert folders_ready(OLD, str(base))
    make_folders_ready(OLD, str(base))
    assert (base / "worker-1").stat().st_uid == NOBODY


def test_a_worker_that_is_new_gets_its_folder(tmp_path: Path) -> None:
    assert not folders_ready(NEW, str(tmp_path))
    make_folders_ready(NEW, str(tmp_path))
    assert folders_ready(NEW, str(tmp_path))
    assert [path.name for path in (tmp_path / "worker-1").iterdir()] == []


def test_a_folder_that_others_can_write_is_not_ready(base: Path) -> None:
    make_folders_ready(NEW, str(base))
    (base / "worker-1").chmod(0o770)
    assert not folders_ready(NEW, str(base))


def test_the_folder_above_is_never_followed_as_a_link(tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    (tmp_path / "base/worker-1").symlink_to(outside(tmp_path))
    with pytest.raises(NotADirectoryError):
        make_folders_ready(NEW, str(tmp_path / "base"))
    assert stat.S_IMODE(outside(tmp_path).stat().st_mode) == 0o751


def test_a_unit_without_state_asks_for_nothing(tmp_path: Path) -> None:
    assert folders_ready("[Service]\n", str(tmp_path / "none"))
