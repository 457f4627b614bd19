"""The cgroup that holds every process of a sandbox.

Membership is the kernel's own record of who started what: it survives a crash of `up`, cannot name a stranger whose
process id was recycled, and one write ends all of it at once.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

from sandbox.errors import SandboxError
from sandbox.shell import run

if TYPE_CHECKING:
    from collections.abc import Sequence

# A process that cannot enter is not started: outside, `down` would not find it.
_ENTER = (
    'for group in $GROUPS_TO_ENTER; do echo $$ > "$group/cgroup.procs" || exit 1; done; '
    'unset GROUPS_TO_ENTER; exec "$@"'
)


def hierarchies() -> list[Path]:
    """Mount points of cgroup v2 and, on a hybrid system, of systemd's own v1 hierarchy beside it.

    Raises:
        SandboxError: There is no cgroup v2 hierarchy at all.
    """
    unified, named = [], []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        left, _, right = line.partition(" - ")
        kind, _, options = right.split(" ", 2)
        where = Path(left.split(" ")[4])
        if kind == "cgroup2":
            unified.append(where)
        elif kind == "cgroup" and "name=systemd" in options.split(" ")[-1].split(","):
            named.append(where)
    if not unified:
        raise SandboxError("no cgroup2 hierarchy is mounted; remedy: mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified")
    return unified[:1] + named[:1]


class Cgroup:
    """One cgroup, by its path below each hierarchy's root."""

    def __init__(self, path: str) -> None:
        """Name a cgroup; nothing is created yet."""
        self.folders = [hierarchy / path for hierarchy in hierarchies()]

    def enter(self, command: Sequence[str | Path]) -> list[str]:
        """Return ``command`` in a wrapper that first moves itself into this cgroup, and create the cgroup."""
        for folder in self.folders:
            folder.mkdir(parents=True, exist_ok=True)
        _delegate(self.folders[0])
        groups = " ".join(str(folder) for folder in self.folders)
        return ["env", f"GROUPS_TO_ENTER={groups}", "sh", "-c", _ENTER, "sh", *(str(part) for part in command)]

    def processes(self) -> set[int]:
        """Process ids in this cgroup and all below it."""
        found: set[int] = set()
        for folder in self.folders:
            for path, _, _ in os.walk(folder):
                try:
                    found.update(int(pid) for pid in Path(path, "cgroup.procs").read_text().split())
                except OSError:  # the cgroup went away under us: so did its processes
                    continue
        return found - {0}

    def cpu_seconds(self) -> float:
        """CPU seconds so far, of all that is or was in it."""
        return int((self.folders[0] / "cpu.stat").read_text("ascii").split()[1]) / 1e6

    def kill(self, *, timeout: float = 20.0) -> None:
        """End every process in it, at once and for certain, then remove it. Nothing there is success too.

        Raises:
            SandboxError: A process outlived SIGKILL for ``timeout`` seconds (it hangs in the kernel).
        """
        deadline = time.monotonic() + timeout
        while self.processes():
            killer = self.folders[0] / "cgroup.kill"
            if killer.exists():
                killer.write_text("1")
            for pid in self.processes() - {os.getpid()}:
                self._end(pid)
            if time.monotonic() > deadline:
                raise SandboxError(
                    f"processes {sorted(self.processes())} survive SIGKILL; see /proc/PID/stack, then call down again"
                )
            time.sleep(0.02)
        self._remove(deadline)

    def _end(self, pid: int) -> None:
        """End the process of that number, if it is still one of this cgroup's and not a stranger who got the number."""
        try:
            process = os.pidfd_open(pid)
        except ProcessLookupError:
            return
        try:
            # The descriptor stays with whoever had the number when it was opened: only now its place counts.
            if pid in self.processes():
                signal.pidfd_send_signal(process, signal.SIGKILL)
        except ProcessLookupError:
            return
        finally:
            os.close(process)

    def _remove(self, deadline: float) -> None:
        for folder in self.folders:
            while folder.exists():
                # A dying process keeps its cgroup busy for a moment after it left the list.
                for path, _, _ in os.walk(folder, topdown=False):
                    try:
                        Path(path).rmdir()
                    except OSError:
                        break
                if folder.exists() and time.monotonic() > deadline:
                    raise SandboxError(f"cgroup {folder} is still busy; call down again")
                time.sleep(0.01 if folder.exists() else 0)


def _delegate(folder: Path) -> None:
    """Hand the controllers that exist down to the machine, so that MemoryMax and TasksMax work inside it."""
    for parent in reversed(folder.parents):
        control = parent / "cgroup.subtree_control"
        if control.exists() and parent != folder:
            available = set((parent / "cgroup.controllers").read_text().split()) & {"cpu", "io", "memory", "pids"}
            for controller in available - set(control.read_text().split()):
                try:
                    control.write_text(f"+{controller}")
                except OSError:  # held by a v1 hierarchy: the limit is then not enforced, as the README says
                    continue


def run_in(cgroup: Cgroup, command: Sequence[str | Path], *, temporary: Path, timeout: float) -> None:
    """Run a builder to its end, so that nothing of it outlives `down`, also when it is cut off.

    It is inside the cgroup, in a mount namespace of its own, and its temporary files are in ``temporary``.

    Raises:
        SandboxError: It failed, or ran out of time.
    """
    temporary.mkdir(parents=True, exist_ok=True)
    temporary.chmod(0o1777)
    wrapped = cgroup.enter(["env", f"TMPDIR={temporary}", "unshare", "--mount", "--propagation", "private", *command])
    run(wrapped, timeout=timeout, shown=f"{command[0]} ... {command[-1]}")
