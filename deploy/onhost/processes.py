"""What the kernel says of processes (proc(5)). Standard library only."""

from __future__ import annotations

import contextlib
import glob
import os
import re
from pathlib import Path
from typing import Any

from deploy.onhost.common import read

READ_ONLY = 0
ACCESS_MODE = 3
CONTAINER = "it runs in a container"


def started(pid: int) -> float:
    """When a process started, in seconds since the epoch: field 22 of its stat counts clock ticks since boot."""
    fields = read(f"/proc/{pid}/stat").decode().rpartition(")")[2].split()
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


def unit_of(pid: int) -> str | None:
    """The system service that a process belongs to; None for an instance of a template, and for what a user started."""
    found = re.search(r"/system\.slice/([^/\n]+\.service)", read(f"/proc/{pid}/cgroup").decode())
    return found[1] if found else None


def stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the third, its state, on; empty when it is gone or a zombie."""
    fields = read(f"/proc/{pid}/stat").decode().rpartition(")")[2].split()
    return fields if fields and fields[0] != "Z" else []


def alive(item: dict[str, Any]) -> bool:
    """Whether the process is still the one that was seen: a pid alone may have been given to another."""
    return bool(stat(item["pid"])) and ticks(item["pid"]) == item["ticks"]


def children(pid: int) -> list[int]:
    """All descendants of a process that still run: a frozen worker cannot collect those of its runs that have ended."""
    direct = [int(part) for path in Path("/proc", str(pid), "task").glob("*/children") for part in read(path).split()]
    return [child for child in direct if stat(child)] + [below for child in direct for below in children(child)]


def output_pipes(pid: int) -> list[str]:
    """The pipes that a process reads and its descendants write, as paths that can be opened to read on."""
    written = {link for child in children(pid) for path, link in _pipes(child).items() if not _only_reads(path)}
    return sorted({link: path for path, link in _pipes(pid).items() if link in written and _only_reads(path)}.values())


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
