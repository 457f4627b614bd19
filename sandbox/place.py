"""The folders that a sandbox may use, and later empty: new ones, empty ones, and those that bear its marker.

The marker also keeps the tag that the kernel's names are made of, so that a sandbox whose folder is moved is still
found. A copy of the folder bears the same tag and is another sandbox: the inode tells the two apart.
"""

from __future__ import annotations

import hashlib
import json
import os
import pwd
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sandbox.cgroup import Cgroup
from sandbox.errors import SandboxError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox.layout import Layout

CHECKOUT = Path(__file__).resolve().parent.parent
MARKER = ".hublab-sandbox"
TREES_MARKER = ".hublab-trees"
_PRIVATE = 0o700
# ssh, the overlay's options and `.env` each give some other character a meaning.
_PLAIN = re.compile(r"[\w./@%+~=-]+")
_TAG = re.compile(r"[0-9a-f]{6}")
# Trees made before there was a marker: nothing but these names is in such a folder.
_TREE = re.compile(r"(base-[a-z]+|postgresql-base-[a-z]+|prefect|past)-3\.1\d(-[0-9a-f]{8})?|debs|[\w.-]+\.partial")


def real(path: Path) -> Path:
    """Return where a path leads: absolute, with `~`, `..` and symbolic links followed."""
    return path.expanduser().resolve()


def refuse_strangers(root: Path, trees: Path) -> None:
    """Refuse what can never be a sandbox's folder, whatever is in it. Both paths are real ones.

    Raises:
        SandboxError: With the folder, what it is, and the remedy.
    """
    for name, folder in (("--root", root), ("HUBLAB_SANDBOX_TREES", trees)):
        if why := _stranger(folder, root):
            raise SandboxError(f"{name}: {folder} {why}; remedy: name a folder that is not there yet")
    if trees != root / "trees" and (trees.is_relative_to(root) or root.is_relative_to(trees)):
        raise SandboxError(
            f"HUBLAB_SANDBOX_TREES: {trees} and the sandbox's {root} lie one in the other; "
            "remedy: name a folder of its own for the trees"
        )


def _stranger(folder: Path, root: Path) -> str:
    if not _PLAIN.fullmatch(str(folder)):
        return "has a character in its path that ssh or the overlay would misread"
    if any(home.is_relative_to(folder) for home in _homes()):
        return "is a home directory, or above one"
    if CHECKOUT.is_relative_to(folder):
        return "is this checkout, or above it"
    if folder.is_mount():
        return "is a mount point"
    above = next((parent for parent in folder.parents if _marked(parent) and parent != root), None)
    return f"lies inside {above}, which is a sandbox's" if above else ""


def _homes() -> Iterator[Path]:
    if os.environ.get("HOME"):
        yield real(Path(os.environ["HOME"]))
    for user in {os.getuid(), int(os.environ.get("SUDO_UID") or os.getuid())}:
        try:
            yield real(Path(pwd.getpwuid(user).pw_dir))
        except KeyError:
            continue


def _marked(folder: Path) -> bool:
    try:
        return any((folder / marker).is_file() for marker in (MARKER, TREES_MARKER))
    except PermissionError:  # who is not root is refused for that, later
        return False


def tag(root: Path) -> str:
    """Return six hex digits that stand for the sandbox of this folder, also after it was moved.

    They are a hash of its path, unless machines of a sandbox that was moved away from here still go by that.

    Raises:
        SandboxError: Every such name is taken.
    """
    marker = _read(root)
    if marker and (_is(root, marker.inode) or marker.is_orphan):
        return marker.tag
    for attempt in range(1000):
        words = os.fsencode(root) + (b"" if attempt == 0 else b"\0%d" % attempt)
        found = hashlib.sha256(words).hexdigest()[:6]
        home = home_of(found)
        if home is None or home == root or not home.exists():
            return found
    raise SandboxError(f"{root}: every name for it is taken; remedy: take other sandboxes down")


def home_of(tag: str) -> Path | None:
    """Return the folder of the machines that run under a tag, by the kernel's word; None when none does.

    A mount's place is told by where the folder is now, not by the name under which it was mounted.
    """
    for process in sorted(Cgroup(f"hublab-{tag}").processes()):
        try:
            lines = Path(f"/proc/{process}/mountinfo").read_text().splitlines()
        except OSError:  # it ended while we looked
            continue
        for line in lines:
            left, _, right = line.partition(" - ")
            where = Path(left.split(" ")[4].removesuffix("//deleted"))
            if right.startswith("overlay ") and where.match("machines/*/root"):
                return where.parents[2]
    return None


@dataclass(frozen=True)
class _Marker:
    """What a sandbox's folder says of itself; ``path`` is where it was when that was written."""

    tag: str
    inode: int
    path: Path

    @property
    def is_orphan(self) -> bool:
        """Whether the sandbox that wrote it is nowhere any more, so that its processes are nobody's."""
        home = home_of(self.tag)
        return (home is None or not home.exists()) and not _is(self.path, self.inode)


def _read(root: Path) -> _Marker | None:
    try:
        found = json.loads((root / MARKER).read_text())
        marker = _Marker(str(found["tag"]), int(found["inode"]), Path(found["path"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return marker if _TAG.fullmatch(marker.tag) else None


def _is(folder: Path, inode: int) -> bool:
    return folder.is_dir() and folder.stat().st_ino == inode


def is_own(layout: Layout) -> bool:
    """Whether what the folder says of itself, such as that it was up, is said of this sandbox and not of a copy's."""
    marker = _read(layout.root)
    return marker is not None and _is(layout.root, marker.inode)


def check(layout: Layout) -> None:
    """Refuse to touch a folder that holds somebody else's files. One that is not there, or empty, is fine.

    Raises:
        SandboxError: With the folder, what is wrong with it, and the remedy.
    """
    _check(layout.root, MARKER)
    if layout.trees != layout.root / "trees":
        _check(layout.trees, TREES_MARKER)


def _check(folder: Path, marker: str) -> None:
    try:
        found = folder.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISDIR(found.st_mode):
        raise SandboxError(f"{folder} is not a folder; remedy: name one that is not there yet")
    if found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise SandboxError(
            f"{folder} can be written by others (owner {found.st_uid}, mode {stat.S_IMODE(found.st_mode):o}); "
            "remedy: name a folder that is not there yet"
        )
    there = {entry.name for entry in folder.iterdir()}
    ours = (folder / marker).is_file() and not (folder / marker).is_symlink()
    old_trees = marker == TREES_MARKER and all(_TREE.fullmatch(name) for name in there)
    if there and not ours and not (old_trees and any(name.startswith("base-") for name in there)):
        some = ", ".join(sorted(there)[:3])
        earlier = {"machines", "ssh"} <= there
        raise SandboxError(
            f"{folder} is not empty and no sandbox made it ({some}); nothing was changed; "
            "remedy: name a folder that is not there yet"
            + ("; what an earlier version made is taken down by that version" if earlier else "")
        )


def claim(layout: Layout) -> None:
    """Make the sandbox's folders its own, closed to everybody else: what root set up inside may be set-uid.

    Raises:
        SandboxError: One of them holds somebody else's files.
    """
    check(layout)
    kept = layout.tag  # by the marker as it was
    _close(layout.root)
    marker = json.dumps({"tag": kept, "inode": layout.root.stat().st_ino, "path": str(layout.root)})
    (layout.root / MARKER).write_text(f"{marker}\n")
    if layout.trees != layout.root / "trees":
        _close(layout.trees)
        (layout.trees / TREES_MARKER).touch()


def _close(folder: Path) -> None:
    folder.mkdir(mode=_PRIVATE, parents=True, exist_ok=True)
    folder.chmod(_PRIVATE)
