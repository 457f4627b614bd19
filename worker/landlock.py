"""Landlock: a process gives up rights, for itself and all that it starts, for good; it needs no privilege for that.

By the three system calls of https://docs.kernel.org/userspace-api/landlock.html: the packages on the index are young,
or know nothing of scopes. `python -P -m worker.landlock` says as JSON what this kernel has of it.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import stat
import struct
import sys
from typing import TYPE_CHECKING

from worker.system_calls import no_new_privileges, syscall

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION = 1
_PATH_BENEATH = 1
_RULESET, _RULE = struct.Struct("=QQQ"), struct.Struct("=Qi")

_WRITE_FILE, _READ_FILE, _READ_DIR, _TRUNCATE, _IOCTL_DEV = 1 << 1, 1 << 2, 1 << 3, 1 << 14, 1 << 15
# Bit 0, execution, is left to the unit (NoExecPaths): Landlock's says nothing of files without a path, memfd_create's.
_SINCE = {
    1: _WRITE_FILE | _READ_FILE | _READ_DIR | sum(1 << bit for bit in range(4, 13)),  # remove and make, of all kinds
    2: 1 << 13,  # move and link between folders, which the first version always refuses
    3: _TRUNCATE,
    5: _IOCTL_DEV,
}
_READ = _READ_FILE | _READ_DIR
_OF_FILES = _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEV
_BIND_SINCE, _BIND_TCP = 4, 1
_SCOPED_SINCE, _SCOPES = 6, 0b11  # abstract sockets, signals

_PARTS = {
    1: "write wherever its worker can, and to the memory of other runs",
    2: "move no file from one of its folders to another",
    3: "empty files of other runs",
    _BIND_SINCE: "listen at TCP ports of its choice",
    5: "control devices",
    _SCOPED_SINCE: "send signals to its worker and to other runs",
}
"""What a flow run can do before the version."""


def abi() -> int:
    """The version of Landlock that this kernel has; 0 where it has none, or where something forbids asking."""
    try:
        return syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(_VERSION))
    except OSError:
        return 0


def missing(version: int) -> list[str]:
    """What a flow run can do since the kernel has no later version, in words that follow "a flow run can"."""
    return [what for since, what in _PARTS.items() if since > version]


def shortcoming(version: int) -> str:
    """The same as a sentence; empty where nothing is missing."""
    lacks = missing(version)
    return f"Landlock {version} of {_SCOPED_SINCE}: a flow run can {'; '.join(lacks)}" if lacks else ""


def enter(writable: Iterable[str], readable: Iterable[str], hidden: str, *, listen: bool) -> int:
    """Enter a domain of its own. No process outside can be traced or signalled from now on, as far as `missing` goes.

    Args:
        writable: files, and folders with all below them. What is not there is left out.
        readable: the same, also where it lies below `hidden`; paths without links, in whose place none may have come.
        hidden: a folder, its path without links, below which nothing else can be read.
        listen: whether TCP sockets may be bound. The kernel refuses no listen() of a socket that was not: it gets any
            free port. Nor are UDP sockets bounded.

    Returns:
        The kernel's version; with 0 nothing has happened.

    Raises:
        OSError: the kernel has Landlock, and refused.
    """
    version = abi()
    if not version:
        return 0
    handled = sum(rights for since, rights in _SINCE.items() if since <= version)
    ports = _BIND_TCP if version >= _BIND_SINCE and not listen else 0
    scopes = _SCOPES if version >= _SCOPED_SINCE else 0
    attributes = _RULESET.pack(handled, ports, scopes)
    ruleset = syscall(_CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), ctypes.c_uint32(0))
    try:
        for path in writable:
            _allow(ruleset, path, handled)
        for path in (*readable, *_beside(hidden)):
            _allow(ruleset, path, _READ, follow=False)
        no_new_privileges()
        syscall(_RESTRICT_SELF, ctypes.c_int(ruleset), ctypes.c_uint32(0))
    finally:
        os.close(ruleset)
    return version


def _allow(ruleset: int, path: str, rights: int, *, follow: bool = True) -> None:
    try:
        target = os.open(path, os.O_PATH | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW))
    except OSError:
        return
    try:
        kind = os.fstat(target).st_mode
        if not follow and (stat.S_ISLNK(kind) or os.readlink(f"/proc/self/fd/{target}") != path):  # noqa: PTH115
            return  # a run may exchange what lies on the way to a folder that it can write
        if not stat.S_ISDIR(kind):
            rights &= _OF_FILES
        rule = _RULE.pack(rights, target)
        syscall(_ADD_RULE, ctypes.c_int(ruleset), ctypes.c_int(_PATH_BENEATH), rule, ctypes.c_uint32(0))
    finally:
        os.close(target)


def _beside(hidden: str) -> Iterator[str]:
    """All that there is but this folder: what lies beside it, and beside each folder above it."""
    while hidden != "/":
        above, name = os.path.split(hidden)
        with contextlib.suppress(PermissionError):
            yield from (os.path.join(above, other) for other in os.listdir(above) if other != name)  # noqa: PTH118, PTH208
        hidden = above


def main() -> None:
    """Print what the kernel has."""
    version = abi()
    sys.stdout.write(json.dumps({"abi": version, "a flow run can": missing(version)}) + "\n")


if __name__ == "__main__":
    main()
