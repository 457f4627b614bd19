"""Leaving nothing behind, wherever an `up` was cut off."""

from __future__ import annotations

import fcntl
import os
import shutil
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sandbox import network, place
from sandbox.cgroup import Cgroup
from sandbox.errors import SandboxError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox.layout import Layout


def stop(layout: Layout) -> None:
    """End every process and remove every interface and cgroup; the files stay."""
    Cgroup(layout.cgroup).kill()
    network.down(layout)


def clear(layout: Layout) -> None:
    """Stop it, and remove all files but the trees: what is whole there can be used, and what is not is built anew.

    Raises:
        SandboxError: The files are somebody else's, or mounted there; none was touched.
    """
    if _stopped(layout):
        for entry in layout.root.iterdir():
            if entry not in (layout.trees, layout.root / place.MARKER):
                _remove(entry)


def down(layout: Layout) -> None:
    """Stop it, and remove all its files, as `clear`. Trees that it shares with other sandboxes stay."""
    if _stopped(layout):
        _remove(layout.root)


def _stopped(layout: Layout) -> bool:
    """Stop what is ours there; whether it has files, of which none is mounted."""
    place.check(layout)
    stop(layout)
    _refuse_mounts(layout)
    return layout.root.exists()


def locked(layout: Layout) -> AbstractContextManager[None]:
    """Keep a second up or down of the same sandbox waiting. The lock is on the folder above: it leaves no file."""
    return folder_locked(layout.root.parent)


@contextmanager
def folder_locked(folder: Path) -> Iterator[None]:
    """Hold a folder, created when it is not there, for this process alone."""
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _refuse_mounts(layout: Layout) -> None:
    # What a mount shows would be deleted with the rest. Ours are in namespaces that ended with their processes.
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        mount = line.split(" ")[4]
        if Path(mount).is_relative_to(layout.root):
            raise SandboxError(
                f"{mount} is a mount that the sandbox did not make; remedy: umount it, then call down again"
            )


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()
