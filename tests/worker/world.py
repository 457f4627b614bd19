"""The processes of `sandbox.local`, with the flows of these tests in reach."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from sandbox.layout import CHECKOUT as TOP
from sandbox.local import processes
from sandbox.local.processes import AUTH, LIMIT, MARK, PLAIN, Systemd, Trial, alive, free_port, survivors, title
from sandbox.server import POOL
from sandbox.waiting import wait_for
from tests.worker.zygote import LONGEST_MESSAGE

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "AUTH", "LIMIT", "MARK", "PLAIN", "POOL", "TOP", "Systemd", "Trial", "Worker", "alive", "environment", "free_port",
    "survivors", "title", "wait_for", "zygote",
]  # fmt: skip
_PATH = f"{TOP}:{Path(__file__).parent}"


def environment(home: Path, **more: str) -> dict[str, str]:
    """A clean environment for a process of these tests."""
    return processes.environment(home, **{"PYTHONPATH": _PATH, **more})


class Forked:
    """A worker's process, which the zygote has forked."""

    def __init__(self, zygote: Path, **asked: object) -> None:
        self._line = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._line.connect(str(zygote))
        self._line.send(json.dumps(asked).encode())
        self.pid = int(self._line.recv(LONGEST_MESSAGE))
        self._status: int | None = None

    def poll(self) -> int | None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self.wait(0)
        return None

    def wait(self, timeout: float | None = None) -> int:
        if self._status is None:
            if not select.select([self._line], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired("worker", timeout or 0)
            self._status = int(self._line.recv(LONGEST_MESSAGE))
            self._line.close()
        return self._status

    def send_signal(self, sig: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, sig)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


@contextlib.contextmanager
def zygote() -> Iterator[Path]:
    """The socket of one that is warm."""
    with tempfile.TemporaryDirectory(prefix="hublab-") as folder:
        address = Path(folder, "zygote")
        command = [*PLAIN, sys.executable, "-P", "-s", "-m", "tests.worker.zygote", str(address), "." * 80]
        env = environment(Path(folder), PREFECT_API_URL="http://127.0.0.1:1/api")
        process = subprocess.Popen(command, env=env, cwd=folder)
        try:
            wait_for(lambda: address.exists() or process.poll() is not None, "a zygote")
            yield address
        finally:
            process.kill()
            process.wait()


class Worker(processes.Worker):
    """One real worker process, which finds `trial_flows`; executed where there is no zygote."""

    def __init__(
        self, port: int, folder: Path, *, name: str = "", launch: str = "", zygote: Path | None = None, **more: str
    ) -> None:
        self._zygote = zygote
        super().__init__(port, folder, name=name, launch=launch, **{"PYTHONPATH": _PATH, **more})

    def _start(self, cwd: Path) -> processes.Process:
        if not self._zygote:
            return super()._start(cwd)
        asked = {"log": str(self.log), "folder": str(cwd), "environment": self.environment, "launch": self._launch}
        return Forked(self._zygote, **asked)
