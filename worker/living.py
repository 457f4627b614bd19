"""Which engines and workers live on this host, by the kernel alone: no file is kept that a run could write."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import signal
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

from worker import process_stat

if TYPE_CHECKING:
    from collections.abc import Container

_ENGINE = "prefect.engine"
_HOOKS = "worker.hooks"
_RUN = re.compile(rb"(?:\A|\0)PREFECT__FLOW_RUN_ID=([^\0]*)")
_PROC = Path("/proc")
_MOST = 8 << 20
"""What is read of a process's arguments or variables: more than it can be started with. It may say that it has any
amount of them (prctl's PR_SET_MM_MAP), which costs it nothing, and whoever reads them all as much memory."""


def place() -> str:
    """What tells this host from another whose workers have the same names: its machine id, which the unit hands on."""
    return "".join((os.environ.get("HUBLAB_PLACE") or platform.node() or "unknown").split())


def token(pid: int) -> str:
    """A process, told from a later one of the same number by its start; empty when it is gone, or cannot be seen."""
    try:
        fields = process_stat.fields(pid)
    except OSError:
        return ""
    return "" if fields[process_stat.STATE] in {"Z", "X"} else f"{pid}.{fields[process_stat.STARTED]}"


def lives(process: str) -> bool:
    """Whether the process of that token lives. One that is there and does not show itself is taken for alive."""
    pid = int(process.partition(".")[0])
    return token(pid) == process or _is_hidden(pid)


def engines() -> dict[str, int]:
    """The flow runs that have an engine on this host, whoever started it; and its process id."""
    found = {}
    for entry in _PROC.iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                if run := _run_of(entry):
                    found[run] = int(entry.name)
    return found


def end(flow_run_id: str, pid: int) -> None:
    """End an engine of the run with its process group, if it still is one; hooks have begun to clear up after one."""
    entry = _PROC / str(pid)
    with contextlib.suppress(OSError):
        if _run_of(entry) == flow_run_id and _HOOKS not in _words(entry):
            os.killpg(pid, signal.SIGKILL)


def may_have_engine(flow_run_id: str, pid: int, seen: Container[str]) -> bool:
    """Whether a run may have an engine here: it was seen, or the process that was its engine hides from sight."""
    return flow_run_id in seen or (pid > 0 and _is_hidden(pid))


def _run_of(entry: Path) -> str:
    """The run whose engine a process is, by its title or its environment.

    An engine leads its session. What it has forked has its title, and may outlive it.
    """
    pid = int(entry.name)
    if os.getsid(pid) != pid or not token(pid):
        return ""
    words = _words(entry)
    if _ENGINE in words:
        with contextlib.suppress(ValueError):
            return str(UUID(words[-1]))
    found = _RUN.search(_read(entry / "environ"))
    return found[1].decode(errors="replace") if found else ""


def _words(entry: Path) -> list[str]:
    return _read(entry / "cmdline").rstrip(b"\0").decode(errors="replace").split("\0")


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_MOST)


def _is_hidden(pid: int) -> bool:
    """Whether a process of this user's is there that /proc does not show."""
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return not (_PROC / str(pid) / "stat").exists()
