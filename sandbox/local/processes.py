"""Worker processes, systemd's side of their notify socket, and the files by which a flow of theirs is steered."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import uuid
from pathlib import Path
from typing import Protocol, Self

from sandbox.errors import SandboxError
from sandbox.layout import CHECKOUT
from sandbox.waiting import wait_for

AUTH = "admin:sentinel-5e90"
LIMIT = 240.0  # only what never comes takes it, however busy the machine is
PLAIN = ("setpriv", "--bounding-set=-all", "--inh-caps=-all", "--")
"""Before a command: without root's privileges, which a worker in its unit has not, and which reach through a domain."""
MARK = f"HUBLAB_TEST_SESSION={uuid.uuid4()}"
"""In the environment of every process that is started here, however deep."""


def free_port() -> int:
    """A port on loopback that nobody uses."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def environment(home: Path, **more: str) -> dict[str, str]:
    """A clean environment for a process of ours."""
    key, _, value = MARK.partition("=")
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "TMPDIR": str(home),
        "PREFECT_HOME": str(home),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PYTHONPATH": str(CHECKOUT),
        key: value,
        **more,
    }


def survivors() -> list[int]:
    """Processes that were started here, and what those started in turn."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and MARK.encode() in (entry / "environ").read_bytes().split(b"\0"):
                found.append(int(entry.name))
    return found


def alive(pid: int) -> bool:
    """Whether the process runs (a zombie does not)."""
    try:
        return not re.search(r"^State:\s+Z", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    except OSError:
        return False


def title(pid: int) -> str:
    """What `ps` shows of it; nothing of a zombie."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").replace(b"\0", b" ").decode()
    except OSError:
        return ""


class Systemd:
    """The receiving end of a notify socket."""

    def __init__(self, folder: Path) -> None:
        """Listen at a path in the folder."""
        self.address = str(folder / f"notify-{uuid.uuid4().hex[:8]}")
        self.messages: list[str] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.address)
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                self.messages.append(self._socket.recv(65536).decode())

    def heard(self, text: str, since: int = 0) -> bool:
        """Whether a message since then has the text."""
        return any(text in message for message in self.messages[since:])

    def wait(self, text: str, since: int = 0) -> str:
        """Wait for it; the first message that has it."""
        try:
            wait_for(lambda: self.heard(text, since), f"systemd hears {text!r}")
        except SandboxError as error:
            raise SandboxError(f"{error}; it heard {self.messages[since:][-3:]}") from None
        return next(message for message in self.messages[since:] if text in message)

    def close(self) -> None:
        """Listen no more."""
        self._socket.close()


class Process(Protocol):
    """As much of `subprocess.Popen` as is asked of a worker's process."""

    pid: int

    def poll(self) -> int | None:
        """Its status, None while it runs."""

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its status."""

    def send_signal(self, sig: int) -> None:
        """Send one, while it runs."""

    def kill(self) -> None:
        """End it at once."""


class Worker:
    """One real worker process."""

    def __init__(self, port: int, folder: Path, *, name: str = "", launch: str = "", **more: str) -> None:
        """Start it against the API on this port; `launch` is Python to run in place of `-m worker`."""
        self.name = name or f"w-{uuid.uuid4().hex[:6]}"
        self.queue = more.pop("queue", "") or f"q-{self.name}"
        self.systemd = Systemd(folder)
        self.log = folder / f"{self.name}-{uuid.uuid4().hex[:4]}.log"
        self.folder = folder
        # Its own folders lie apart from the test's, which flows may write.
        self._home = tempfile.TemporaryDirectory(prefix="hublab-", ignore_cleanup_errors=True)
        self.home = Path(self._home.name)
        (self.home / "tmp").mkdir()
        own = {"HOME": str(self.home), "PREFECT_HOME": str(self.home), "TMPDIR": str(self.home / "tmp")}
        own |= {"HUBLAB_WRITE_PATHS": str(folder.parent)}
        self.environment = environment(
            folder,
            PREFECT_API_URL=f"http://127.0.0.1:{port}/api",
            PREFECT_API_AUTH_STRING=AUTH,
            PREFECT_WORKER_QUERY_SECONDS="0.5",
            PREFECT_WORKER_HEARTBEAT_SECONDS="1",
            HUBLAB_WORKER_NAME=self.name,
            HUBLAB_WORK_QUEUES=self.queue,
            HUBLAB_RELEASE="trial",
            NOTIFY_SOCKET=self.systemd.address,
            **{**own, **more},
        )
        self._launch = launch
        self._command = [*PLAIN, sys.executable, *(["-c", launch] if launch else ["-P", "-s", "-m", "worker"])]
        self.process = self._start(folder)

    def _start(self, cwd: Path) -> Process:
        with self.log.open("ab") as log:
            return subprocess.Popen(self._command, env=self.environment, stdout=log, stderr=log, cwd=cwd)

    def again(self, cwd: Path | None = None) -> Self:
        """Start it once more, with the same folders, after it has ended."""
        self.systemd.messages.clear()
        self.log = self.log.with_suffix(".again")
        self.process = self._start(cwd or self.folder)
        return self

    def ready(self) -> Self:
        """Wait for READY=1."""
        wait_for(
            lambda: self.systemd.heard("READY=1") or self.process.poll() is not None,
            lambda: f"ready\n{self.log.read_text()}",
        )
        if self.process.poll() is not None:
            raise SandboxError(self.log.read_text())
        return self

    def cold_fork_server(self) -> int:
        """Wait until its first fork server is there, which still imports; that one's process id."""

        def find() -> int:
            started = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
            return next((int(pid) for pid in started if "worker.fork_server" in title(int(pid))), 0)

        return wait_for(find, "a fork server")

    def fork_server(self, number: int = 1) -> int:
        """Wait until its first, second ... fork server is warm; that one's process id."""
        pattern = r"Fork server (\d+) is warm"
        wait_for(lambda: len(re.findall(pattern, self.log.read_text())) >= number, "a warm fork server")
        return int(re.findall(pattern, self.log.read_text())[number - 1])

    def term(self) -> Self:
        """As systemctl stop does."""
        self.process.send_signal(signal.SIGTERM)
        return self

    def exit(self) -> int:
        """Wait for its exit status."""
        try:
            return self.process.wait(LIMIT)
        except subprocess.TimeoutExpired:
            raise SandboxError(f"worker does not end\n{self.log.read_text()}") from None

    def drains(self) -> None:
        """Wait until it has begun to drain."""
        self.systemd.wait("STOPPING=1")

    def close(self) -> None:
        """Leave nothing of it behind, whatever became of it."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(LIMIT)
        self.systemd.close()
        self._home.cleanup()


class Trial:
    """The files by which a test follows and steers the flow `until` and its like."""

    def __init__(self, folder: Path) -> None:
        """In this folder."""
        self._mark = folder / f"mark-{uuid.uuid4().hex[:8]}"
        self._gate = self._mark.with_suffix(".gate")

    @property
    def files(self) -> dict[str, str]:
        """The flow's parameters."""
        return {"mark": str(self._mark), "gate": str(self._gate)}

    def lines(self, word: str) -> list[int]:
        """Process ids from the lines that begin with the word."""
        text = self._mark.read_text() if self._mark.exists() else ""
        return [int(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(word)]

    def child(self) -> int:
        """The process id of what the flow started."""
        return int(self._mark.read_text().split()[1])

    def begun(self, times: int = 1) -> int:
        """Wait until the flow has begun that often; its engine's process id."""
        wait_for(lambda: len(self.lines("begin")) >= times, f"flow begun {times} times")
        return self.lines("begin")[-1]

    def let_end(self) -> None:
        """Let the flow end."""
        self._gate.touch()
