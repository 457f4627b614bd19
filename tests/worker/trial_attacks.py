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
import time
from pathlib import Path
from typing import TYPE_CHECKING

from prefect import flow

if TYPE_CHECKING:
    from collections.abc import Callable

_libc = ctypes.CDLL(None, use_errno=True)
_PTRACE_SEIZE, _PIDFD_GETFD, _IO_URING_SETUP, _PROCESS_MADVISE = 0x4206, 438, 425, 440
_F_SETSIG, _RENAME_EXCHANGE, _AT_FDCWD, _MPTCP = 10, 2, -100, 262
_FAN_REPORT_FID = 0x200
_X86 = os.uname().machine == "x86_64"
_FANOTIFY_INIT, _IOPRIO_SET, _OPEN_BY_HANDLE_AT = (300, 251, 304) if _X86 else (262, 30, 265)


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


def _touch(path: Path, text: str = "planted") -> None:
    path.write_text(text)


def _exchange(one: str, other: Path) -> None:
    names = ctypes.c_char_p(one.encode()), ctypes.c_char_p(str(other).encode())
    _checked(_libc.renameat2(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _RENAME_EXCHANGE))


def _through_link(path: str, own: Path) -> None:
    own.with_suffix(".link").symlink_to(path)
    os.open(own.with_suffix(".link"), os.O_RDONLY)


def _of_file(path: str) -> dict[str, Callable[[], object]]:
    """Of a file that another run has written, its name known."""
    own = Path(tempfile.gettempdir(), "own")
    own.write_text("mine")
    return {
        "link it": lambda: own.with_suffix(".hard").hardlink_to(path),
        "take it": lambda: Path(path).rename(own.with_suffix(".taken")),
        "replace it": lambda: own.replace(path),
        "exchange it": lambda: _exchange(path, own),
        "link beside it": lambda: Path(f"{path}.link").hardlink_to(own),
        "read it through a link": lambda: _through_link(path, own),
        "read it again": lambda: os.open(f"/proc/self/fd/{os.open(path, os.O_PATH)}", os.O_RDONLY),
        "remove it": Path(path).unlink,
        "speak where it listens": lambda: socket.socket(socket.AF_UNIX).bind(f"{path}.socket"),
        "a pipe beside it": lambda: os.mkfifo(f"{path}.pipe"),
    }


def _watch() -> dict[str, Callable[[], object]]:
    """Landlock lets a run watch folders that it cannot read: it would learn what others call theirs."""
    return {
        "inotify": lambda: _checked(_libc.inotify_init1(0)),
        "inotify of old": lambda: _checked(_libc.inotify_init()),
        "fanotify": lambda: _checked(_libc.syscall(_FANOTIFY_INIT, _FAN_REPORT_FID, 0)),
    }


def _bind(family: int, kind: int, protocol: int, port: int) -> None:
    with socket.socket(family, kind, protocol) as sock:
        sock.bind(("", port))
        sock.listen()


def _ports() -> dict[str, Callable[[], object]]:
    return {
        "IPv4": lambda: _bind(socket.AF_INET, socket.SOCK_STREAM, 0, 0),
        "IPv4, a port": lambda: _bind(socket.AF_INET, socket.SOCK_STREAM, 0, 8099),
        "IPv6": lambda: _bind(socket.AF_INET6, socket.SOCK_STREAM, socket.IPPROTO_TCP, 0),
        "multipath TCP": lambda: _bind(socket.AF_INET, socket.SOCK_STREAM, _MPTCP, 0),
        "without a bind": socket.socket().listen,
    }


def _advise(pid: int) -> None:
    vector = ctypes.byref(_Vector(0, 4096))
    _checked(_libc.syscall(_PROCESS_MADVISE, os.pidfd_open(pid), vector, ctypes.c_ulong(1), 20, 0))


def _signal_by_socket(pid: int, number: int) -> None:
    """The kernel sends a socket's owner the signal that was asked for, in the name of who asked."""
    one, other = socket.socketpair()
    fcntl.fcntl(one, _F_SETSIG, number)
    fcntl.fcntl(one, fcntl.F_SETOWN, pid)
    fcntl.fcntl(one, fcntl.F_SETFL, fcntl.fcntl(one, fcntl.F_GETFL) | os.O_ASYNC)
    other.send(b"x")


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
        "have its memory paged out": lambda: _advise(pid),
        "have it killed first": lambda: _touch(Path(f"/proc/{pid}/oom_score_adj"), "1000"),
        "see what it has open": lambda: os.readlink(f"/proc/{pid}/fd/0"),  # noqa: PTH115
        "see its map": lambda: os.open(f"/proc/{pid}/maps", os.O_RDONLY),
        "see where it works": lambda: os.readlink(f"/proc/{pid}/cwd"),  # noqa: PTH115
        "limit it": lambda: resource.prlimit(pid, resource.RLIMIT_CPU, (3600, 3600)),
    }


def _filtered(pid: int) -> dict[str, Callable[[], object]]:
    """What a unit's SystemCallFilter= alone keeps a run from."""
    return {
        "slow it down": lambda: os.setpriority(os.PRIO_PROCESS, pid, 19),
        "bind it to a processor": lambda: os.sched_setaffinity(pid, {0}),
        "slow its disk down": lambda: _checked(_libc.syscall(_IOPRIO_SET, 1, pid, 3 << 13)),
        "open by a handle": lambda: _checked(_libc.syscall(_OPEN_BY_HANDLE_AT, _AT_FDCWD, bytes(16), 0)),
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
    for name, attempts in {"watch": _watch(), "ports": _ports(), "files": _of_file(forbidden[-1])}.items():
        told[name] = {what: _outcome(attempt) for what, attempt in attempts.items()}
    told["by socket"] = [_outcome(lambda pid=pid: _signal_by_socket(pid, signal.SIGKILL)) for pid in processes.values()]  # type: ignore[misc]
    told["abstract socket"] = _outcome(lambda: _abstract(abstract))
    told["own memory"] = _outcome(lambda: os.open("/proc/self/mem", os.O_RDWR))
    told["own"] = _own()
    Path(os.path.expandvars(file)).write_text(json.dumps(told))


@flow
def listen(file: str) -> None:
    """Try to, and write what came of it."""
    Path(file).write_text(json.dumps({what: _outcome(attempt) for what, attempt in _ports().items()}))


@flow
def shut_the_output(mark: str, gate: str) -> None:
    """Shut what the whole worker prints to, which is one socket; then wait as any run does."""
    with socket.socket(fileno=os.dup(1)) as output:
        output.shutdown(socket.SHUT_RDWR)
    Path(mark).write_text(f"begin {os.getpid()}\n")
    while not Path(gate).exists():
        time.sleep(0.1)


@flow
def read(file: str, paths: list[str]) -> None:
    """Try to, and write what came of it."""
    told = {path: _outcome(lambda path=path: os.open(path, os.O_RDONLY)) for path in paths}  # type: ignore[misc]
    Path(file).write_text(json.dumps(told))


@flow
def name_the_hooks_command(mark: str, gate: str, forbidden: str, out: str) -> None:
    """Have the command that starts its hooks, where it has packages of its own, write where it must not."""
    (manifest,) = Path(tempfile.gettempdir()).glob("prefect-workspace-*/workspace.json")
    told = json.loads(manifest.read_text())
    told["hook_command"] = ["/bin/sh", "-c", f"touch {forbidden} || echo PermissionError > {out}"]
    manifest.write_text(json.dumps(told))
    Path(mark).write_text(f"begin {os.getpid()}\n")
    while not Path(gate).exists():
        time.sleep(0.1)


@flow
def crowd_the_control_socket(file: str, gate: str) -> None:
    """Take up every place at the socket where the worker hears its engines, and say nothing."""
    from prefect._internal import control_listener  # noqa: PLC0415

    connect = control_listener.socket.socket.connect  # type: ignore[attr-defined]
    path = dict(zip(connect.__code__.co_freevars, connect.__closure__, strict=True))["path"].cell_contents
    lines = [socket.socket(socket.AF_UNIX) for _ in range(2000)]
    for line in lines:
        line.settimeout(0)
    came = 0
    end = time.monotonic() + 3
    for line in lines:
        while time.monotonic() < end:
            try:
                line.connect(path)
            except BlockingIOError:
                time.sleep(0.001)
                continue
            came += 1
            break
    Path(file).write_text(str(came))
    while not Path(gate).exists():
        time.sleep(0.1)


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
