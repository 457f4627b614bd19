"""The processes of `sandbox.local`, with the flows of these tests in reach."""

from __future__ import annotations

from pathlib import Path

from sandbox.layout import CHECKOUT as TOP
from sandbox.local import processes
from sandbox.local.processes import AUTH, LIMIT, MARK, PLAIN, Systemd, Trial, alive, free_port, survivors, title
from sandbox.server import POOL
from sandbox.waiting import wait_for

__all__ = [
    "AUTH", "LIMIT", "MARK", "PLAIN", "POOL", "TOP", "Systemd", "Trial", "Worker", "alive", "environment", "free_port",
    "survivors", "title", "wait_for",
]  # fmt: skip
_PATH = f"{TOP}:{Path(__file__).parent}"


def environment(home: Path, **more: str) -> dict[str, str]:
    """A clean environment for a process of these tests."""
    return processes.environment(home, **{"PYTHONPATH": _PATH, **more})


class Worker(processes.Worker):
    """One real worker process, which finds `trial_flows`."""

    def __init__(self, port: int, folder: Path, *, name: str = "", launch: str = "", **more: str) -> None:
        super().__init__(port, folder, name=name, launch=launch, **{"PYTHONPATH": _PATH, **more})
