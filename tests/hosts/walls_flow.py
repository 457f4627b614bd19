"""What a flow run tries against its host, its neighbours and the next start of its worker (see test_5_walls.py)."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import importlib.metadata
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import termios
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prefect import flow
from prefect.states import Completed

if TYPE_CHECKING:
    from collections.abc import Callable

    from prefect.client.schemas.objects import State

STORAGE = Path(os.environ.get("PREFECT_LOCAL_STORAGE_PATH", "/nowhere"))
STATE = STORAGE.parents[1]
CODE = "import os\nos.write(2, b'PLANTED CODE RAN')\nraise SystemExit('PLANTED CODE RAN')\n"
SETTINGS = "!!python/object/apply:os.system ['PLANTED'\nPREFECT_API_URL=http://planted.invalid\n"
NAMES = (
    *("worker/__init__.py", "worker.py", "flows/__init__.py", "prefect/__init__.py", "json.py"),
    *("sitecustomize.py", "usercustomize.py", "planted.pth", ".env", "prefect.toml", "pyproject.toml"),
    *("profiles.toml", "logging.yml"),
)
# https://github.com/torvalds/linux/blob/master/arch/x86/entry/syscalls/syscall_64.tbl
CALLS = {
    "process_vm_readv": 310,
    "kcmp": 312,
    "userfaultfd": 323,
    "io_uring_setup": 425,
    "keyctl": 250,
    "add_key": 248,
    "request_key": 249,
    "bpf": 321,
    "perf_event_open": 298,
    "mount": 165,
    "chroot": 161,
    "pivot_root": 155,
    "setns": 308,
    "acct": 163,
    "syslog": 103,
    "swapon": 167,
    "quotactl": 179,
    "sethostname": 170,
    "open_by_handle_at": 304,
    "ptrace": 101,
    "clock_settime": 227,
    "init_module": 175,
    "kexec_load": 246,
    "iopl": 172,
    "fsopen": 430,
    "open_tree": 428,
}
KEY = 0x48554221
NEW_USER, NEW_NET, SHM_EXEC, EXECUTABLE_MEMORY = 0x10000000, 0x40000000, 0o100000, 7
SOCKETS = (
    *("/run/dbus/system_bus_socket", "/run/systemd/private", "/run/systemd/journal/socket", "/dev/log"),
    *("/run/systemd/journal/stdout", "/run/systemd/io.system.ManagedOOM", "/run/systemd/userdb/io.systemd.DynamicUser"),
    *("/run/docker.sock", "/run/udev/control", "/run/systemd/io.systemd.Credentials"),
)


def outcome(work: Callable[[], Any]) -> str:
    try:
        return f"done: {work()}"
    except OSError as error:
        return type(error).__name__ if error.errno != 30 else "ReadOnly"


def connect(host: str, port: int) -> str:
    with socket.create_connection((host, port), timeout=5) as line:
        return repr(line.recv(7))


def send(host: str) -> None:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as line:
        line.sendto(b"x", (host, 9))


def call(number: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(ctypes.c_long(number), *[ctypes.c_long(0)] * 6) < 0:
        raise OSError(ctypes.get_errno(), "")


def libc(name: str, *arguments: Any) -> int:
    """A function of the C library by which a system call is made; -1 is an error."""
    library = ctypes.CDLL(None, use_errno=True)
    library.mmap.restype = ctypes.c_long
    found = int(getattr(library, name)(*arguments))
    if found == -1:
        raise OSError(ctypes.get_errno(), "")
    return found


def speak(path: str) -> str:
    """Whatever kind of socket it is."""
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET):
        with socket.socket(socket.AF_UNIX, kind) as line, contextlib.suppress(OSError):
            line.connect(path)
            return "connected"
    raise ConnectionRefusedError


def load_library(folder: str | Path) -> None:
    """Code that it brought, as a library in its own process, and by the system's loader."""
    (source,) = Path("/usr/lib").glob("*-linux-gnu/libz.so.1")
    library = Path(folder, "library.so")
    shutil.copy(source, library)
    try:
        ctypes.CDLL(str(library))
    finally:
        library.unlink()


def by_the_loader(folder: str | Path) -> int:
    program = Path(folder, "program")
    shutil.copy("/usr/bin/true", program)
    try:
        (loader,) = Path("/lib64").glob("ld-linux*")
        ended = subprocess.run([loader, program], check=False, stderr=subprocess.DEVNULL).returncode
    finally:
        program.unlink()
    if ended:
        raise PermissionError
    return ended


def sticky_rights(folder: Path) -> None:
    program = folder / "rights"
    program.touch()
    try:
        program.chmod(0o4755)
    finally:
        program.unlink()


def dump_core() -> list[str]:
    """A process that dies of a fault where it may write."""
    folder = Path(tempfile.mkdtemp())
    code = "import resource, os; resource.setrlimit(resource.RLIMIT_CORE, (-1, -1)); os.abort()"
    subprocess.run([sys.executable, "-c", code], cwd=folder, check=False, stderr=subprocess.DEVNULL)
    subprocess.run([sys.executable, "-c", "import os; os.abort()"], cwd=folder, check=False)
    if not (left := sorted(path.name for path in folder.iterdir())):
        raise PermissionError
    return left


def execute(folder: str | Path) -> int:
    program = Path(folder, "program")
    shutil.copy("/usr/bin/true", program)
    program.chmod(0o700)
    try:
        return subprocess.run([program], check=False).returncode
    finally:
        program.unlink()


def execute_memory() -> int:
    descriptor = os.memfd_create("program")
    os.write(descriptor, Path("/usr/bin/true").read_bytes())
    return subprocess.run([f"/proc/self/fd/{descriptor}"], pass_fds=[descriptor], check=False).returncode


def terminals() -> list[str]:
    """Those that it can read or write; it has none of its own."""
    found = [path for path in Path("/dev/pts").iterdir() if path.name.isdigit()]
    can = [str(path) for path in found if os.access(path, os.R_OK) or os.access(path, os.W_OK)]
    if not can:
        raise PermissionError
    return can


def names(folder: str) -> list[str]:
    return sorted(path.name for path in Path(folder).iterdir())


@flow
def attack(tcp: list[tuple[str, int]], udp: list[str]) -> State[None]:
    """Each attack by name, and what came of it."""
    release = Path("/opt/hublab/releases", os.environ["HUBLAB_RELEASE"])
    places = (STORAGE.parent, STATE / "tmp", "/tmp", "/var/tmp", "/dev/shm")
    tries: dict[str, Callable[[], Any]] = {
        **{f"tcp {host}": partial(connect, host, port) for host, port in tcp},
        **{f"udp {host}": partial(send, host) for host in udp},
        **{name: partial(call, number) for name, number in CALLS.items()},
        **{f"execute {place}": partial(execute, place) for place in places},
        "execute memory": execute_memory,
        **{f"load {place}": partial(load_library, place) for place in places},
        **{f"loader {place}": partial(by_the_loader, place) for place in places},
        **{f"speak to {path}": partial(speak, path) for path in SOCKETS},
        **{name: partial(libc, "unshare", flag) for name, flag in (("user", NEW_USER), ("network", NEW_NET))},
        "memory that can be written and executed": partial(libc, "mmap", 0, 4096, EXECUTABLE_MEMORY, 34, -1, 0),
        "System V memory of others": partial(libc, "shmget", KEY, 1, 0),
        "System V messages of others": partial(libc, "msgget", KEY, 0),
        "System V semaphores of others": partial(libc, "semget", KEY, 0, 0),
        "POSIX messages of others": partial(libc, "mq_open", b"/hublab-host", os.O_RDONLY),
        "executable System V memory": lambda: libc("shmat", libc("shmget", 0, 4096, 0o1600), 0, SHM_EXEC),
        "another control group": partial(Path("/sys/fs/cgroup/cgroup.procs").write_text, "0"),
        "what becomes of cores": partial(Path("/proc/sys/kernel/core_pattern").write_text, "|/bin/sh"),
        "a core": dump_core,
        "rights of its own": partial(sticky_rights, STATE / "tmp"),
        "a device": partial(os.mknod, STATE / "tmp" / "device", 0o20666, os.makedev(1, 1)),
        "type on a terminal": lambda: fcntl.ioctl(os.open("/dev/tty", os.O_RDWR), termios.TIOCSTI, b"x"),
        "the console": partial(os.open, "/dev/console", os.O_WRONLY),
        "terminals of others": terminals,
        "vsock": partial(socket.socket, socket.AF_VSOCK, socket.SOCK_STREAM),
        "netlink": partial(socket.socket, socket.AF_NETLINK, socket.SOCK_RAW),
        "replace storage's folder": partial(STORAGE.parent.rename, STATE / "away"),
        "link beside it": partial((STATE / "link").symlink_to, "/etc"),
        "write the release": partial((release / "sitecustomize.py").write_text, CODE),
        "write the root": partial(Path("/planted").write_text, CODE),
        "shared memory of others": partial(names, "/dev/shm"),
        "credentials of others": partial(names, "/run/credentials"),
    }
    return Completed(message=json.dumps({name: outcome(work) for name, work in tries.items()}))


def answer(work: Callable[[], Any]) -> str:
    """Of what should work: "done", or the error in words."""
    try:
        work()
    except Exception as error:  # noqa: BLE001 - whatever it is
        return f"{type(error).__name__}: {error}"
    return "done"


def by_ctypes() -> None:
    numbers = (ctypes.c_int * 2)(2, 1)
    kind = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_int), ctypes.POINTER(ctypes.c_int))
    compare = kind(lambda one, other: one[0] - other[0])
    ctypes.CDLL(None).qsort(numbers, 2, ctypes.sizeof(ctypes.c_int), compare)
    if list(numbers) != [1, 2]:
        raise ValueError(list(numbers))


def by_cffi() -> None:
    made = importlib.import_module("cffi").FFI()
    if made.callback("int(int)", lambda number: number + 1)(1) != 2:
        raise ValueError("wrong")


@flow
def ordinary() -> State[None]:
    """What flows do with C libraries, and what of the release's packages cannot be imported."""
    found = {"ctypes": answer(by_ctypes), "cffi": answer(by_cffi)}
    for name in sorted(importlib.metadata.packages_distributions()):
        if name.isidentifier() and name != "uvloop":
            found[f"import {name}"] = answer(partial(importlib.import_module, name))
    return Completed(message=json.dumps({name: came for name, came in found.items() if came != "done"}))


@flow
def plant() -> State[None]:
    """Leaves code, settings and rubble wherever it can, and locks the folders that it can write."""
    written = []
    folders = [STATE, STATE / "tmp", STORAGE.parent, STORAGE, Path.home(), Path.home() / ".prefect", Path.cwd()]
    for path in (folder / name for folder in folders for name in NAMES):
        with contextlib.suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(CODE if path.suffix == ".py" else SETTINGS)
            written.append(str(path))
    for folder in (STATE / "tmp", STORAGE.parent):
        with contextlib.suppress(OSError):
            os.mkfifo(folder / "fifo")
            (folder / "loop").symlink_to("loop")
            (folder / "locked").mkdir(mode=0)
        with contextlib.suppress(OSError):
            folder.chmod(0)
    return Completed(message=json.dumps(written))


@flow
def listen(until: str) -> None:
    """Listens for a while, as it can without a bind: at whatever port the kernel gives."""
    with socket.socket() as server:
        server.listen()
        server.settimeout(float(until))
        with contextlib.suppress(TimeoutError):
            server.accept()[0].sendall(b"reached")
            raise RuntimeError("somebody came")
