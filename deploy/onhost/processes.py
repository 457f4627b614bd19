"""What the kernel says of processes (proc(5)). Standard library only."""

from __future__ import annotations

import contextlib
import glob
import os
import re
import signal
import stat as statmode
from typing import TYPE_CHECKING

from deploy.onhost.common import read

if TYPE_CHECKING:
    from deploy.onhost.state import Process

READ_ONLY = 0
ACCESS_MODE = 3
MOST_CHILDREN = 10_000
CONTAINER = "it runs in a container"


def started(pid: int) -> float:
    """When a process started, in seconds since the epoch: field 22 of its stat counts clock ticks since boot."""
    fields = _fields(pid)
    boot = re.search(rb"btime (\d+)", read("/proc/stat"))
    return int(boot[1]) + int(fields[19]) / os.sysconf("SC_CLK_TCK") if boot and fields else 0.0


def ticks(pid: int) -> int:
    """When a process started, in clock ticks since boot: with its id, no other process ever had the same of both."""
    fields = stat(pid)
    return int(fields[19]) if fields else 0


def isolation(pid: int) -> str:
    """What keeps a process apart from the host, in words; empty when it shares root, processes and users with init.

    A service may have mounts of its own, by its unit's settings; what has them otherwise is somebody's container.

    Raises:
        OSError: it is gone.
    """
    apart = [kind for kind in ("pid", "user", "mnt") if _namespace(pid, kind) != _of_the_host(kind)]
    if "pid" in apart or not os.path.samestat(os.stat(f"/proc/{pid}/root"), os.stat("/")):
        return CONTAINER
    if "user" in apart or (apart and not unit_of(pid)):
        return "it runs in namespaces of its own"
    return ""


def _namespace(pid: int | str, kind: str) -> str:
    return os.readlink(f"/proc/{pid}/ns/{kind}")


def _of_the_host(kind: str) -> str:
    """Init's; where not even root may look at that one, those that the question itself is asked from."""
    try:
        return _namespace(1, kind)
    except PermissionError:
        return _namespace("self", kind)


def cgroup(pid: int) -> list[str]:
    """Where systemd keeps a process (cgroups(7)): the parts of its path, slices left out.

    The first is a service or scope that systemd itself has named; what is below, its owner may have named.
    """
    lines = read(f"/proc/{pid}/cgroup").decode(errors="replace").splitlines()
    path = max((line.split(":", 2)[2] for line in lines if line.split(":")[1] in ("", "name=systemd")), default="")
    return [part for part in path.split("/") if part and not part.endswith(".slice")]


def unit_of(pid: int) -> str | None:
    """The system's own service that a process belongs to; None for what a user, a login or a container started."""
    parts = cgroup(pid)
    first = parts[0] if parts else ""
    return first if first.endswith(".service") and not first.startswith("user@") else None


def user_unit_of(pid: int) -> str | None:
    """The service of a user's own systemd that a process belongs to, or None."""
    parts = cgroup(pid)
    inner = parts[1] if len(parts) > 1 and parts[0].startswith("user@") else ""
    return inner if inner.endswith(".service") and "/" not in inner else None


def parent(pid: int) -> int:
    """Who started a process; 0 when it is gone."""
    fields = stat(pid)
    return int(fields[1]) if fields else 0


def stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the third, its state, on; empty when it is gone or a zombie."""
    fields = _fields(pid)
    return fields if fields and fields[0] != "Z" else []


def _fields(pid: int) -> list[str]:
    """The same, of a zombie too; the name before them may be any bytes."""
    return read(f"/proc/{pid}/stat").decode(errors="replace").rpartition(")")[2].split()


def alive(item: Process) -> bool:
    """Whether the process is still the one that was seen: a pid alone may have been given to another."""
    return bool(stat(item.pid)) and ticks(item.pid) == item.ticks


def children(pid: int) -> list[int]:
    """All descendants of a process that still run: a frozen worker cannot collect those of its runs that have ended."""
    found: dict[int, None] = {}
    look = [pid]
    while look and len(found) < MOST_CHILDREN:
        one = look.pop()
        parts = [part for path in glob.glob(f"/proc/{one}/task/*/children") for part in read(path).split()]
        running = [child for child in map(int, parts) if child not in found and stat(child)]
        found |= dict.fromkeys(running)
        look += running
    return list(found)


def send(item: Process, number: signal.Signals) -> bool:
    """A signal to this very process; False when it is gone, whoever has its id now (pidfd_open(2))."""
    try:
        descriptor = os.pidfd_open(item.pid)
    except ProcessLookupError:
        return False
    try:
        if not alive(item):  # asked while the descriptor is held: what is told is of the same process
            return False
        signal.pidfd_send_signal(descriptor, number)
    except ProcessLookupError:
        return False
    finally:
        os.close(descriptor)
    return True


def output_pipes(pid: int) -> dict[int, str]:
    """The pipes that a process reads and its descendants write: inode → a path of its own that leads there."""
    written = {link for child in children(pid) for path, link in _pipes(child).items() if not _only_reads(path)}
    return {int(link[6:-1]): path for path, link in _pipes(pid).items() if link in written and _only_reads(path)}


def opened(path: str, inode: int) -> int | None:
    """A descriptor that reads a pipe behind another process's descriptor; None when something else is there by now.

    A process may put anything where its pipe was a moment ago, and opening a device does things. So it is first opened
    without being opened (open(2), O_PATH), and read only when it is that pipe.
    """
    try:
        seen = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        info = os.fstat(seen)
        if not statmode.S_ISFIFO(info.st_mode) or info.st_ino != inode:
            return None
        return os.open(f"/proc/self/fd/{seen}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    finally:
        os.close(seen)


def links(pid: int) -> dict[str, str]:
    """Path → what it leads to, of each open file of a process."""
    found = {}
    for path in glob.glob(f"/proc/{pid}/fd/*"):
        with contextlib.suppress(OSError):
            found[path] = os.readlink(path)
    return found


def _pipes(pid: int) -> dict[str, str]:
    return {path: link for path, link in links(pid).items() if link.startswith("pipe:")}


def _only_reads(path: str) -> bool:
    flags = re.search(rb"^flags:\s+(\d+)", read(path.replace("/fd/", "/fdinfo/")), re.MULTILINE)
    return bool(flags and int(flags[1], 8) & ACCESS_MODE == READ_ONLY)
