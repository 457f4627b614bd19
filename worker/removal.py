"""Removes what a run has left, though something of the run may still live: nothing outside its folder.

`tempfile` goes by descriptors until it is refused something. Then it changes modes and removes by path, on which a run
may have exchanged a folder for a link: to where all runs have theirs.
"""

from __future__ import annotations

import contextlib
import os
import subprocess

_FOLDER = os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def remove(folder: str) -> None:
    """Remove a folder with all below it, as far as that can be done. Nobody else can write the folder that it is in."""
    try:
        _remove(folder, None)
    except RecursionError:  # folders within folders, more of them than this way can follow
        subprocess.run(["rm", "-rf", "--", folder], check=False, stderr=subprocess.DEVNULL)


def _remove(name: str, above: int | None) -> None:
    with contextlib.suppress(OSError):
        folder = _opened(name, above)
        try:
            _empty(folder)
        finally:
            os.close(folder)
        os.rmdir(name, dir_fd=above)


def _opened(name: str, above: int | None) -> int:
    """A folder that can be read and written, whatever its mode was."""
    found = os.open(name, os.O_PATH | _FOLDER, dir_fd=above)
    try:
        os.chmod(f"/proc/self/fd/{found}", 0o700)  # noqa: PTH101 - of the very folder that was found
        return os.open(".", os.O_RDONLY | _FOLDER, dir_fd=found)
    finally:
        os.close(found)


def _empty(folder: int) -> None:
    with os.scandir(folder) as entries:
        left = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
    for name, is_folder in left:
        if is_folder:
            _remove(name, folder)
        else:
            with contextlib.suppress(OSError):
                os.unlink(name, dir_fd=folder)
