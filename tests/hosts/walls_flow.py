"""What a flow run tries against its host, its neighbours and the next start of its worker (see test_5_walls.py)."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import shutil
import socket
import subprocess
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
CALLS = {"process_vm_readv": 310, "kcmp": 312, "userfaultfd": 323, "io_uring_setup": 425, "keyctl": 250}


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
def listen(port: int, until: str) -> None:
    """Listens at a port for a while."""
    with socket.create_server(("0.0.0.0", port)) as server:
        server.settimeout(float(until))
        with contextlib.suppress(TimeoutError):
            server.accept()[0].sendall(b"reached")
            raise RuntimeError("somebody came")
