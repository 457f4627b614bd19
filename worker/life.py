"""Which life a container is in: told from another container, and from the same one before it was started again."""

from __future__ import annotations

import os
import time

from worker import process_stat

FIRST = 1
"""The process that a container begins and ends with."""


def life(process: int = FIRST) -> str:
    """A word for the life that this process began: another after each start, the same for all who ask meanwhile."""
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:  # noqa: PTH123 - asked every few seconds
        return f"{file.read().strip()}.{_ticks(process)}"


def age(process: int = FIRST) -> float:
    """Seconds since then."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) - _ticks(process) / os.sysconf("SC_CLK_TCK")


def _ticks(process: int) -> int:
    """When a process began, in ticks since the machine's boot."""
    return int(process_stat.fields(process)[process_stat.STARTED])
