"""What the kernel says of one process in a line: /proc/PID/stat (proc(5))."""

from __future__ import annotations

STATE, STARTED, EXIT_CODE = 0, 19, 49
"""Places in the fields: its state, when it began in clock ticks since boot, and the wait status of a zombie."""


def fields(pid: int) -> list[str]:
    """The fields behind the process's name, which may be any bytes.

    Raises:
        OSError: it is gone, or hides from sight.
    """
    with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:  # noqa: PTH123 - asked every few seconds
        return file.read().rpartition(")")[2].split()
