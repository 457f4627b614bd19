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
SAME_SECONDS = 2.0  # two looks at one process differ by less


def started(pid: int) -> float:
    """When a process started, in seconds since the epoch: field 22 of its stat counts clock ticks since boot."""
    fields = read(f"/proc/{pid}/stat").decode().rpartition(")")[2].split()
    boot = re.search(rb"btime (\d+)", read("/proc/stat"))
    return int(boot[1]) + int(fields[19]) / os.sysconf("SC_CLK_TCK") if boot and fields else 0.0


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
    return bool(stat(item["pid"])) and bool(abs(started(item["pid"]) - item["started"]) < SAME_SECONDS)


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
