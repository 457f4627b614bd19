"""Flows that try to harm their worker, another run or the next one, and tell what came of each attempt."""

from __future__ import annotations

import ctypes
import fcntl
import json
import multiprocessing
import os
import resource
import signal
import socket
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from prefect import flow

if TYPE_CHECKING:
    from collections.abc import Callable

_libc = ctypes.CDLL(None, use_errno=True)
_PTRACE_SEIZE, _PIDFD_GETFD, _IO_URING_SETUP = 0x4206, 438, 425


class _Vector(ctypes.Structure):
    """struct iovec."""

    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


def _read_at_once(pid: int) -> None:
    """Without one byte to read the kernel does not ask who may; where it asks, an address that is not there is last."""
    buffer = ctypes.create_string_buffer(8)
    vector, one = ctypes.byref(_Vector(ctypes.addressof(buffer), 8)), ctypes.c_ulong(1)
    _checked(_libc.process_vm_readv(pid, vector, one, vector, one, ctypes.c_ulong(0)))


def _checked(result: int) -> int:
    if result < 0:
        raise OSError(ctypes.get_errno(), "")
    return result


def _outcome(attempt: Callable[[], object]) -> str:
    try:
        attempt()
    except OSError as error:
        return type(error).__name__
    return "done"


def _touch(path: Path) -> None:
    path.write_text("planted")


def _of_process(pid: int) -> dict[str, Callable[[], object]]:
    """Each takes no more than the same user, for a process that is not protected."""
    return {
        "read its environment": lambda: os.read(os.open(f"/proc/{pid}/environ", os.O_RDONLY), 1),
        "read its memory": lambda: os.open(f"/proc/{pid}/mem", os.O_RDONLY),
        "write its memory": lambda: os.open(f"/proc/{pid}/mem", os.O_RDWR),
        "read its memory at once": lambda: _read_at_once(pid),
        "trace it": lambda: _checked(_libc.ptrace(_PTRACE_SEIZE, pid, None, None)),
        "open its folder": lambda: os.open(f"/proc/{pid}/cwd/", os.O_RDONLY),
        "take its descriptor": lambda: _checked(_libc.syscall(_PIDFD_GETFD, os.pidfd_open(pid), 0, 0)),
        "signal it": lambda: os.kill(pid, 0),
        "signal its group": lambda: os.killpg(os.getpgid(pid), 0),
        "signal it by a pidfd": lambda: signal.pidfd_send_signal(os.pidfd_open(pid), 0),
        "limit it": lambda: resource.prlimit(pid, resource.RLIMIT_CPU, (3600, 3600)),
    }


def _filtered(pid: int) -> dict[str, Callable[[], object]]:
    """What a unit's SystemCallFilter= alone keeps a run from."""
    return {
        "slow it down": lambda: os.setpriority(os.PRIO_PROCESS, pid, 19),
        "bind it to a processor": lambda: os.sched_setaffinity(pid, {0}),
        "io_uring": lambda: _checked(_libc.syscall(_IO_URING_SETUP, 1, None)),
    }


def _abstract(name: str) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.connect(f"\0{name}")


@flow
def attack(file: str, processes: dict[str, int], forbidden: list[str], unreadable: list[str], abstract: str) -> None:
    """Try everything, and write what came of it."""
    told: dict[str, object] = {
        who: {what: _outcome(attempt) for what, attempt in _of_process(pid).items()} for who, pid in processes.items()
    }
    told["write"] = {path: _outcome(lambda path=path: _touch(Path(path))) for path in forbidden}  # type: ignore[misc]
    told["read"] = {path: _outcome(lambda path=path: os.open(path, os.O_RDONLY)) for path in unreadable}  # type: ignore[misc]
    told["filtered"] = {what: _outcome(attempt) for what, attempt in _filtered(next(iter(processes.values()))).items()}
    told["abstract socket"] = _outcome(lambda: _abstract(abstract))
    told["own memory"] = _outcome(lambda: os.open("/proc/self/mem", os.O_RDWR))
    told["own"] = _own()
    Path(os.path.expandvars(file)).write_text(json.dumps(told))


@flow
def kill_everybody() -> None:
    """End every process that may be signalled, but this one."""
    os.kill(-1, signal.SIGKILL)


@flow
def speak_for_the_worker(address: str) -> None:
    """Tell systemd what a worker's main process alone may tell it."""
    for message in (
        "STATUS=spoofed\nWATCHDOG=trigger",
        "STOPPING=1",
        f"MAINPID={os.getpid()}",
        "EXTEND_TIMEOUT_USEC=1",
    ):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.sendto(message.encode(), address)


def _own() -> dict[str, str]:
    """What every flow may do."""
    there = Path(tempfile.gettempdir()) / "b"
    here = there.parents[1] / "run" / "a"
    storage = Path(os.environ["PREFECT_HOME"]) / "storage"
    attempts: dict[str, Callable[[], object]] = {
        "its folder": lambda: _touch(here),
        "move": lambda: here.rename(there),
        "home": lambda: _touch(Path("~/c").expanduser()),
        "storage": lambda: _touch(storage / "d"),
        "null": lambda: Path(os.devnull).write_text("x"),
        "semaphore": lambda: multiprocessing.get_context("spawn").Lock().acquire(),
        "terminal": os.openpty,
        "limit": lambda: resource.setrlimit(resource.RLIMIT_CPU, (36_000, 36_000)),
        "lock": lambda: fcntl.flock(os.open(there, os.O_RDONLY), fcntl.LOCK_EX),
        "child": lambda: os.kill(_child(), signal.SIGKILL),
        "code": lambda: os.open(__file__, os.O_RDONLY),
        "listing": lambda: list(Path("/etc").iterdir()),
    }
    return {what: _outcome(attempt) for what, attempt in attempts.items()}


def _child() -> int:
    child = multiprocessing.get_context("fork").Process(target=signal.pause)
    child.start()
    assert child.pid
    return child.pid


@flow
def plant(file: str, folders: list[str], plants: dict[str, str]) -> None:
    """Write each of these files in each of these folders, and in those of the run's own; tell where it went well."""
    own = [str(Path.cwd()), tempfile.gettempdir(), os.environ["HOME"]]
    done = [path for folder in (*folders, *own) for path in _planted(Path(folder), plants)]
    Path(file).write_text(json.dumps(done))


def _planted(folder: Path, plants: dict[str, str]) -> list[str]:
    done = []
    for name, text in plants.items():
        try:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)
        except OSError:
            continue
        done.append(str(folder / name))
    return done
