"""What other users of the host wrote, read by root: bounded, regular files only, and never a control character."""

from __future__ import annotations

import itertools
import os
import stat

from deploy.onhost.common import harmless

FILE_BYTES = 256 * 1024
# /proc's files are written while they are read: a process may have 65,530 mappings and two megabytes of arguments.
PROC_BYTES = 4 * 1024 * 1024
ENTRIES = 20_000
WORDS = 200


def printable(text: str, limit: int = WORDS) -> str:
    """Text that does nothing to a terminal and fits a line: what cannot be printed becomes a question mark."""
    shown = harmless(text[: limit + 1]).replace("\n", "?")
    return f"{shown[:limit]}…" if len(shown) > limit else shown


def regular(path: str, limit: int = FILE_BYTES) -> bytes:
    """The beginning of a regular file; empty for whatever else is there: a link, a pipe, a device, nothing.

    To open a device does things, and to read what the kernel shows as files, of no length, as well: so what a path
    leads to is looked at without being opened (open(2), O_PATH), and read only when it is a file.
    """
    try:
        seen = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    except (OSError, ValueError):
        return b""
    try:
        info = os.fstat(seen)
        if not stat.S_ISREG(info.st_mode) or not info.st_size:
            return b""
        descriptor = os.open(f"/proc/self/fd/{seen}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            return os.read(descriptor, limit)
        finally:
            os.close(descriptor)
    except OSError:
        return b""
    finally:
        os.close(seen)


def names(folder: str) -> list[str]:
    """The names in a folder, the first ENTRIES of them; none when it is not there."""
    try:
        with os.scandir(folder) as entries:
            return [entry.name for entry in itertools.islice(entries, ENTRIES)]
    except (OSError, ValueError):
        return []


def of_proc(path: str, limit: int = PROC_BYTES) -> bytes:
    """The beginning of a file below /proc; empty when its process is gone."""
    parts, left = [], limit
    try:
        with open(path, "rb", buffering=0) as stream:
            while left > 0 and (part := stream.read(left)):
                parts.append(part)
                left -= len(part)
    except OSError:
        pass
    return b"".join(parts)
