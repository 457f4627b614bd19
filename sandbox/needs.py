"""What the operator's machine must have before a sandbox can be built, and what is installed when it can be."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from sandbox import apt
from sandbox.errors import SandboxError

# Program to look for → Debian package that brings it.
_TOOLS = {
    "mmdebstrap": "mmdebstrap",
    "systemd-nspawn": "systemd-container",
    "ip": "iproute2",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
    "unshare": "util-linux",
}
_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_DISK_NEEDED = 3 << 30  # bytes; a sandbox with one host was measured at about 1 GB, and a host's releases come on top


def ensure(root: Path) -> None:
    """Check the operator's machine, and install missing Debian packages where that is possible.

    Raises:
        SandboxError: Something is missing that this program may not or cannot install; it names all of it.
    """
    if os.geteuid() != 0:
        raise SandboxError(
            "machines are booted under systemd-nspawn, which takes root; remedy: sudo ./hublab deploy, or hosts in .env"
        )
    free = shutil.disk_usage(_existing(root)).free
    if free < _DISK_NEEDED:
        raise SandboxError(
            f"{root}: {free >> 20} MB free, {_DISK_NEEDED >> 20} MB needed; remedy: free some, or move the checkout"
        )
    missing = {package for program, package in _TOOLS.items() if shutil.which(program) is None}
    if not _KEYRING.exists():
        missing.add("debian-archive-keyring")
    if missing:
        _install(sorted(missing))


def _existing(path: Path) -> Path:
    while not path.exists():
        path = path.parent
    return path


def _install(packages: list[str]) -> None:
    if shutil.which("apt-get") is None:
        raise SandboxError(
            f"missing: {', '.join(packages)}, and no apt-get is here; remedy: install them by other means"
        )
    apt.install(packages)
