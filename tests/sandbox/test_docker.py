"""The sandbox's own dockerd, the base image's tree, and the way from containers to one port. No container runs here."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sandbox.coolify.base import base
from sandbox.coolify.daemon import NETWORK, Daemon
from sandbox.coolify.forward import forward
from sandbox.errors import SandboxError
from sandbox.layout import CHECKOUT, layout

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox.layout import Layout

ROOT = CHECKOUT / ".hublab/docker-test"


@pytest.fixture
def where() -> Iterator[Layout]:
    yield layout(ROOT)
    shutil.rmtree(ROOT, ignore_errors=True)


def traces(where: Layout) -> list[str]:
    """What the kernel still has of a daemon: mounts, interfaces, cgroups, processes."""
    mounts = [line for line in Path("/proc/self/mounts").read_text().splitlines() if str(ROOT) in line]
    links = [path.name for path in Path("/sys/class/net").iterdir() if path.name == where.bridge]
    groups = [str(path) for path in Path("/sys/fs/cgroup").glob(f"*/{where.cgroup}*")]
    shown = subprocess.run(["pgrep", "-f", f"{ROOT}/docker"], capture_output=True, text=True, check=False)
    return [*mounts, *links, *groups, *shown.stdout.split()]


def test_daemon_keeps_its_data_over_a_restart_and_leaves_nothing(where: Layout) -> None:
    daemon = Daemon(where, ROOT / "docker")
    try:
        daemon.start()
        (network,) = json.loads(daemon.docker("network", "inspect", NETWORK).stdout)
        assert network["IPAM"]["Config"][0]["Gateway"] == str(daemon.gateway)
        assert where.bridge in traces(where)
        daemon.stop()
        daemon.start()
        (again,) = json.loads(daemon.docker("network", "inspect", NETWORK).stdout)
        assert again["Id"] == network["Id"]
    finally:
        daemon.remove()
    assert traces(where) == []
    assert not (ROOT / "docker").exists()


def test_daemon_that_cannot_run_says_why_and_leaves_nothing() -> None:
    where = layout(ROOT, ROOT / "trees")
    daemon = Daemon(where, ROOT / "docker")
    try:
        for name, script in {"sbin/dockerd": "echo no such driver; exit 1", "bin/docker": "exit 1"}.items():
            program = daemon._programs / "usr" / name
            program.parent.mkdir(parents=True)
            program.write_text(f"#!/bin/sh\n{script}\n")
            program.chmod(0o755)
        with pytest.raises(SandboxError, match=r"dockerd has ended\n  no such driver"):
            daemon.start()
    finally:
        daemon.remove()
        shutil.rmtree(ROOT)
    assert traces(where) == []


def test_base_has_the_operators_python_and_no_compiler(where: Layout) -> None:
    tree = base(where)
    for name in ("python", "python3"):
        # glibc finds a program's own libraries by /proc.
        asked = [
            "unshare",
            "--fork",
            "--pid",
            f"--mount-proc={tree}/proc",
            "chroot",
            str(tree),
            f"/usr/local/bin/{name}",
            "-c",
            "import ssl, sys; print(sys.base_prefix)",
        ]
        assert subprocess.run(asked, capture_output=True, text=True, check=True).stdout == "/usr/local\n"
    for name in ("gcc", "cc", "ld", "make", "perl5"):
        assert not list(tree.glob(f"usr/bin/{name}"))
    assert (tree / "usr/bin/setpriv").exists()


def test_forward_leads_to_one_port_both_ways() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=_echo, args=(listener,), daemon=True).start()
        with (
            forward("127.0.0.2", listener.getsockname()[1]) as port,
            socket.create_connection(("127.0.0.2", port)) as line,
        ):
            line.sendall(b"there and back")
            line.shutdown(socket.SHUT_WR)
            got = b"".join(iter(lambda: line.recv(100), b""))
    assert got == b"there and back"


def _echo(listener: socket.socket) -> None:
    line, _ = listener.accept()
    with line:
        while data := line.recv(100):
            line.sendall(data)
