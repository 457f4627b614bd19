# ruff: noqa: T201 - it prints
"""Tries what a sandboxed unit must not do, and prints one word for each attempt."""

import contextlib
import ctypes
import os
import socket
import subprocess
import sys
from pathlib import Path


def write() -> None:
    Path("/usr/share/probe").write_text("x")
    Path("/usr/share/probe").unlink()


def see_others() -> None:
    if not [entry for entry in Path("/proc").iterdir() if entry.name.isdigit() and entry.name != str(os.getpid())]:
        raise PermissionError


def connect() -> None:
    with socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=2):
        pass


def execute() -> None:
    script = Path("/tmp/probe.sh")
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    subprocess.run([str(script)], check=True)


def mount() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    Path("/tmp/mnt").mkdir(exist_ok=True)
    if libc.mount(b"probe", b"/tmp/mnt", b"tmpfs", 0, None):
        raise PermissionError(ctypes.get_errno())
    libc.umount(b"/tmp/mnt")


def new_namespace() -> None:
    if ctypes.CDLL(None).unshare(0x10000000):  # CLONE_NEWUSER
        raise PermissionError


for attempt in (write, see_others, connect, execute, mount, new_namespace):
    try:
        attempt()
    except OSError:
        print(f"{attempt.__name__}=denied")
    else:
        print(f"{attempt.__name__}=allowed")
with contextlib.suppress(KeyError):
    print("credential=" + Path(os.environ["CREDENTIALS_DIRECTORY"], "name").read_text().strip())
