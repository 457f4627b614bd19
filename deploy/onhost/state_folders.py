"""The folders that a unit keeps its state in, made ready for systemd, which takes no other thing in a folder's place.

Up to release 0.1 a worker owned the folder above them as well: what its runs put there in their place kept it from
starting for ever. Now that folder is root's, and in the unit each of them is a mount, which nothing can replace.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

BASE = "/var/lib/hublab"
OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def named(text: str) -> dict[str, set[str]]:
    """Folder below /var/lib/hublab → what a unit's text names in it; "" for the folder itself."""
    found: dict[str, set[str]] = {}
    for line in re.findall(r"^StateDirectory=(.*)$", text, re.MULTILINE):
        for path in line.split():
            folder, _, inner = path.removeprefix("hublab/").partition("/")
            found.setdefault(folder, set()).add(inner)
    return found


def folders_ready(text: str, base: str = BASE) -> bool:
    """Whether systemd will take them as they are, and root alone could change that."""
    for folder, inner in named(text).items():
        try:
            info = os.lstat(Path(base, folder))
        except FileNotFoundError:
            return False
        is_roots = info.st_uid == 0 and not info.st_mode & OTHERS_WRITE
        if not (is_roots or "" in inner) or any(_is_planted(Path(base, folder, name)) for name in inner):
            return False
    return True


def make_folders_ready(text: str, base: str = BASE) -> None:
    """Gives what lies above them to root, and moves aside what stands in their place and is no folder.

    By descriptors, and never through a symbolic link: runs may have written here. Whom the folders themselves belong to
    systemd puts right when it starts the unit.
    """
    with _opened(base) as parent:
        for folder, inner in named(text).items():
            with contextlib.suppress(FileExistsError):
                os.mkdir(folder, 0o711, dir_fd=parent)
            with _opened(folder, parent) as descriptor:
                if "" not in inner:
                    os.fchown(descriptor, 0, 0)
                    os.fchmod(descriptor, 0o711)
                for name in filter(None, inner):
                    if _is_planted(name, descriptor):
                        aside = f"{name}.{time.time_ns()}"
                        os.rename(name, aside, src_dir_fd=descriptor, dst_dir_fd=descriptor)


@contextlib.contextmanager
def _opened(path: str, below: int | None = None) -> Iterator[int]:
    descriptor = os.open(path, _FOLDER, dir_fd=below)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _is_planted(path: str | Path, below: int | None = None) -> bool:
    """Whether something is there that is no folder."""
    try:
        return not stat.S_ISDIR(os.stat(path, dir_fd=below, follow_symlinks=False).st_mode)
    except FileNotFoundError:
        return False
