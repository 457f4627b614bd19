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


def stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the third, its state, on; empty when it is gone or a zombie."""
    fields = read(f"/proc/{pid}/stat").decode().rpartition(")")[2].split()
    return fields if fields and fields[0] != "Z" else []


def alive(item: dict[str, Any]) -> bool:
    """Whether the process is still the one that was seen: a pid alone may have been given to another."""
    fields = stat(item["pid"])
    boot = re.search(rb"btime (\d+)", read("/proc/stat"))
    if not fields or not boot:
        return False
    return bool(abs(int(boot[1]) + int(fields[19]) / os.sysconf("SC_CLK_TCK") - item["started"]) < 2)  # noqa: PLR2004


def children(pid: int) -> list[int]:
    """All descendants of a process that still run: a frozen worker cannot collect those of its runs that have ended."""
    direct = [int(part) for path in Path("/proc", str(pid), "task").glob("*/children") for part in read(path).split()]
    return [child for child in direct if stat(child)] + [below for child in direct for below in children(child)]


def output_pipes(pid: int) -> list[str]:
    """The pipes that a process reads and its descendants write, as paths that can be opened to read on."""
    written = {link for child in children(pid) for path, link in _pipes(child).items() if not _only_reads(path)}
    return sorted({link: path for path, link in _pipes(pid).items() if link in written and _only_reads(path)}.values())


def _pipes(pid: int) -> dict[str, str]:
    """Path → which pipe, of each open end of a process."""
    found = {}
    for path in glob.glob(f"/proc/{pid}/fd/*"):
        with contextlib.suppress(OSError):
            if (link := os.readlink(path)).startswith("pipe:"):
                found[path] = link
    return found


def _only_reads(path: str) -> bool:
    flags = re.search(rb"^flags:\s+(\d+)", read(path.replace("/fd/", "/fdinfo/")), re.MULTILINE)
    return bool(flags and int(flags[1], 8) & ACCESS_MODE == READ_ONLY)
