"""A sandbox takes, and later removes, only folders that it made itself; nothing here boots one."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sandbox import Machine, Sandbox, SandboxError, place, server
from sandbox.cgroup import Cgroup
from sandbox.layout import CHECKOUT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sandbox.layout import Layout

Result = subprocess.CompletedProcess[str]


def command(*arguments: str | Path, cwd: Path = CHECKOUT, **environment: str | Path) -> Result:
    """`python -m sandbox`, as an operator calls it."""
    return subprocess.run(
        [sys.executable, "-m", "sandbox", *map(str, arguments)],
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": str(CHECKOUT)} | {key: str(value) for key, value in environment.items()},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Somebody's home, with a file in it."""
    home = tmp_path / "home"
    (home / "papers").mkdir(parents=True)
    (home / "papers/thesis.txt").write_text("years of work\n")
    return home


def link(home: Path) -> Path:
    (home.parent / "link").symlink_to(home)
    return home.parent / "link"


WAYS: dict[str, Callable[[Path], Path]] = {
    "a folder with files": lambda home: home / "papers",
    "a home": lambda home: home,
    "a link to it": link,
    "back up from below it": lambda home: home / "papers/..",
    "the folder above it": lambda home: home.parent,
}


@pytest.mark.parametrize("order", ["up", "down"])
@pytest.mark.parametrize("way", WAYS)
def test_a_folder_with_somebody_elses_files_is_refused(home: Path, way: str, order: str) -> None:
    done = command("--root", WAYS[way](home), order, HOME=home)
    assert done.returncode == 1, done.stderr
    assert "remedy: name a folder that is not there yet" in done.stderr
    assert (home / "papers/thesis.txt").read_text() == "years of work\n"
    assert sorted(entry.name for entry in home.iterdir()) == ["papers"]


def test_a_relative_folder_and_an_unexpanded_tilde_are_seen_for_what_they_are(home: Path) -> None:
    for root in (".", "papers", "./papers/../papers", "~", "~/papers"):
        done = command("--root", root, "up", cwd=home, HOME=home)
        assert (done.returncode, "remedy: name a folder" in done.stderr) == (1, True), done.stderr
    assert (home / "papers/thesis.txt").exists()


@pytest.mark.parametrize("empty", [True, False])
def test_a_home_is_refused_even_when_it_is_empty(tmp_path: Path, empty: bool) -> None:
    if not empty:
        (tmp_path / ".bashrc").touch()
    done = command("--root", tmp_path, "up", HOME=tmp_path)
    assert "is a home directory, or above one" in done.stderr


@pytest.mark.parametrize(
    ("root", "why"),
    [
        ("/", "is a home directory, or above one"),
        ("/proc", "is a mount point"),
        (CHECKOUT, "is this checkout, or above it"),
        (CHECKOUT.parent, "is this checkout, or above it"),
    ],
)
def test_what_can_never_be_a_sandbox_is_refused_by_name(root: str | Path, why: str) -> None:
    done = command("--root", root, "down")
    assert done.returncode == 1
    assert why in done.stderr


def only_hidden(folder: Path) -> Path:
    (folder / "kept").mkdir()
    (folder / "kept/.secret").write_text("x")
    return folder / "kept"


def file(folder: Path) -> Path:
    (folder / "letter.txt").write_text("x")
    return folder / "letter.txt"


def link_to_a_file(folder: Path) -> Path:
    (folder / "link").symlink_to(file(folder))
    return folder / "link"


def empty_folders(folder: Path) -> Path:
    (folder / "album/2024").mkdir(parents=True)
    return folder / "album"


@pytest.mark.parametrize("order", ["up", "down"])
@pytest.mark.parametrize("make", [only_hidden, file, link_to_a_file, empty_folders])
def test_what_looks_empty_or_is_no_folder_is_refused(tmp_path: Path, make: Callable[[Path], Path], order: str) -> None:
    root = make(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    done = command("--root", root, order)
    assert (done.returncode, "remedy: name" in done.stderr) == (1, True), done.stderr
    assert sorted(tmp_path.rglob("*")) == before


def test_a_mount_point_is_refused(tmp_path: Path) -> None:
    (folder := tmp_path / "disk").mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", folder], check=True)
    try:
        done = command("--root", folder, "up")
    finally:
        subprocess.run(["umount", folder], check=True)
    assert "is a mount point" in done.stderr


def test_a_root_inside_another_sandbox_is_refused(tmp_path: Path) -> None:
    outer = Sandbox.at(tmp_path / "outer").layout
    place.claim(outer)
    for root in (outer.root / "inner", outer.root / "trees/inner", outer.machines / "hublab-1/upper/srv"):
        done = command("--root", root, "up")
        assert f"lies inside {outer.root}, which is a sandbox" in done.stderr
    assert not (outer.root / "inner").exists()


@pytest.mark.parametrize("way", WAYS)
def test_the_folder_of_the_shared_trees_is_held_to_the_same(home: Path, tmp_path: Path, way: str) -> None:
    root = tmp_path / "root"
    done = command("--root", root, "up", HUBLAB_SANDBOX_TREES=WAYS[way](home), HOME=home)
    assert done.returncode == 1, done.stderr
    assert "remedy: name a folder" in done.stderr
    assert sorted(path.name for path in home.rglob("*")) == ["papers", "thesis.txt"]
    assert not root.exists()


def test_shared_trees_are_no_root_and_lie_in_none(tmp_path: Path) -> None:
    layout = Sandbox.at(tmp_path / "root", tmp_path / "trees").layout
    place.claim(layout)
    (layout.trees / "base-bookworm-3.12").mkdir()
    assert "is not empty and no sandbox made it" in command("--root", layout.trees, "down").stderr
    assert f"lies inside {layout.trees}, which" in command("--root", layout.trees / "x", "up").stderr
    with pytest.raises(SandboxError, match="lie one in the other"):
        Sandbox.at(layout.root, layout.root / "machines")
    Sandbox.at(layout.root, layout.trees).down()
    assert (layout.trees / "base-bookworm-3.12").exists()


def test_trees_of_before_the_marker_are_taken_and_anything_beside_them_is_not(tmp_path: Path) -> None:
    trees = tmp_path / "trees"
    (trees / "base-bookworm-3.12").mkdir(parents=True)
    (trees / "temporary.partial").mkdir()
    place.check(Sandbox.at(tmp_path / "root", trees).layout)
    (trees / "notes.txt").touch()
    with pytest.raises(SandboxError, match="is not empty"):
        place.check(Sandbox.at(tmp_path / "root", trees).layout)


def test_a_folder_that_others_can_write_is_refused(tmp_path: Path) -> None:
    """They could put a link in it between two steps."""
    for name, mode, owner in (("writable", 0o777, 0), ("theirs", 0o700, 65534)):
        (folder := tmp_path / name).mkdir()
        folder.chmod(mode)
        os.chown(folder, owner, owner)
        done = command("--root", folder, "up")
        assert "can be written by others" in done.stderr


def test_a_marker_that_is_a_link_or_a_folder_is_none(tmp_path: Path) -> None:
    for name in ("link", "folder"):
        (tmp_path / name).mkdir()
    (tmp_path / "link" / place.MARKER).symlink_to(os.devnull)
    (tmp_path / "folder" / place.MARKER).mkdir()
    for name in ("link", "folder"):
        assert "is not empty and no sandbox made it" in command("--root", tmp_path / name, "down").stderr
        assert (tmp_path / name).exists()


@pytest.mark.parametrize("name", ["a b", "a:b", "a,b", 'a"b', "a\\b", "a'b"])
def test_a_path_that_ssh_or_the_overlay_would_misread_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(SandboxError, match="has a character in its path"):
        Sandbox.at(tmp_path / name)


def test_state_and_trees_are_closed_to_local_users() -> None:
    """A tree has `sudo` in it, and root on a machine may make anything set-uid: nobody else gets there."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        layout = Sandbox.at(folder / "root", folder / "trees").layout
        before = os.umask(0)
        try:
            place.claim(layout)
        finally:
            os.umask(before)
        layout.trees.chmod(0o755)  # as an earlier version left it
        place.claim(layout)
        for inside in (folder, layout.root, layout.trees):
            shutil.copy("/bin/true", inside / "su")
            (inside / "su").chmod(0o4755)
        subprocess.run([folder / "su"], user=65534, group=65534, check=True)
        for inside in (layout.root, layout.trees):
            with pytest.raises(PermissionError):
                subprocess.run([inside / "su"], user=65534, group=65534, check=False)


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Layout]:
    """A sandbox with one process that sees its root as a machine does; there is no Debian in it."""
    layout = Sandbox.at(tmp_path / "first/.sandbox").layout
    place.claim(layout)
    folder = layout.machines / "hublab-1"
    for part in ("lower", "upper", "work", "root"):
        (folder / part).mkdir(parents=True)
    mount = "mount -t overlay overlay -o lowerdir=$0/lower,upperdir=$0/upper,workdir=$0/work $0/root && exec sleep 600"
    group = Cgroup(f"{layout.cgroup}/hublab-1")
    inside: list[str | Path] = ["unshare", "--mount", "--propagation", "private", "sh", "-c", mount, folder]
    process = subprocess.Popen(group.enter(inside))
    while place.home_of(layout.tag) is None:
        assert process.poll() is None
    yield layout
    Cgroup(layout.cgroup).kill()
    process.wait()


def test_one_that_was_moved_while_up_is_taken_down_whole(running: Layout) -> None:
    moved = running.root.parent.with_name("second")
    running.root.parent.rename(moved)
    sandbox = Sandbox.at(moved / ".sandbox")
    assert sandbox.layout.tag == running.tag
    sandbox.down()
    assert not Cgroup(running.cgroup).processes()
    assert not (moved / ".sandbox").exists()


def test_a_new_one_where_one_was_moved_away_from_leaves_it_alone(running: Layout) -> None:
    running.root.parent.rename(running.root.parent.with_name("second"))
    other = Sandbox.at(running.root)
    assert other.layout.tag != running.tag
    place.claim(other.layout)
    other.down()
    assert Cgroup(running.cgroup).processes()


def test_a_copy_of_one_that_is_up_leaves_the_first_alone(running: Layout) -> None:
    copy = running.root.parent.with_name("copy")
    subprocess.run(["cp", "-a", running.root.parent, copy], check=True)
    other = Sandbox.at(copy / ".sandbox")
    assert other.layout.tag != running.tag
    assert not place.is_own(other.layout)
    other.down()
    assert Cgroup(running.cgroup).processes()
    assert not (copy / ".sandbox").exists()


def test_one_whose_folder_was_removed_by_hand_is_still_taken_down(running: Layout) -> None:
    shutil.rmtree(running.root)
    Sandbox.at(running.root).down()
    assert not Cgroup(running.cgroup).processes()


def test_one_that_was_moved_to_another_disk_is_still_taken_down(running: Layout, tmp_path: Path) -> None:
    """Its files are copied and removed then: the inode differs, and the first folder is gone."""
    subprocess.run(["cp", "-a", running.root, tmp_path / "disk"], check=True)
    shutil.rmtree(running.root)
    Sandbox.at(tmp_path / "disk").down()
    assert not Cgroup(running.cgroup).processes()


def test_a_number_that_went_to_a_stranger_is_not_killed(running: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the list and the signal a process may end, and another get its number."""
    with subprocess.Popen(["sleep", "600"]) as stranger:
        group = Cgroup(running.cgroup)
        truth = Cgroup.processes
        lists = iter([{stranger.pid}, {stranger.pid}])
        monkeypatch.setattr(Cgroup, "processes", lambda self: next(lists, None) or truth(self))
        group.kill()
        assert stranger.poll() is None
        stranger.kill()


def test_what_cannot_enter_its_cgroup_is_not_started(running: Layout, tmp_path: Path) -> None:
    group = Cgroup(f"{running.cgroup}/gone")
    command = group.enter(["touch", tmp_path / "started"])
    group.kill()
    assert subprocess.run(command, check=False, stderr=subprocess.DEVNULL).returncode
    assert not (tmp_path / "started").exists()


def test_a_link_that_a_machine_made_is_not_followed_out_of_it(tmp_path: Path) -> None:
    layout = Sandbox.at(tmp_path / "root").layout
    machine = Machine("server", layout)
    (machine.upper / "etc").mkdir(parents=True)
    (machine.upper / "etc/prefect").symlink_to(tmp_path)
    (tmp_path / "server.env").write_text("PREFECT_SERVER_API_AUTH_STRING=not:yours\n")
    with pytest.raises(SandboxError, match="outside server"):
        server.credential(machine)


ROUTER = """
import pathlib, sys
from sandbox import Sandbox, network
settings = pathlib.Path("/proc/sys/net/ipv4/conf")
(settings / "default/forwarding").write_text("1")  # what a machine with Docker gives to each new interface
layout = Sandbox.at(pathlib.Path(sys.argv[1])).layout
network.up(layout)
print((settings / layout.bridge / "forwarding").read_text().strip())
"""


def test_the_bridge_forwards_nothing_also_on_a_router(tmp_path: Path) -> None:
    program = [
        "unshare",
        "--net",
        "--mount",
        "sh",
        "-c",
        'mount -t sysfs sysfs /sys && exec "$@"',
        "sh",
        sys.executable,
    ]
    done = subprocess.run(
        [*program, "-c", ROUTER, tmp_path / "root"], cwd=CHECKOUT, capture_output=True, text=True, check=False
    )
    assert done.stdout == "0\n", done.stderr
