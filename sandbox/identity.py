"""What only one machine has: name, addresses, machine id, host key, and who may log in."""

from __future__ import annotations

import os
import shutil
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

from sandbox.shell import run

if TYPE_CHECKING:
    from sandbox.layout import Layout
    from sandbox.machine import Machine

_HOST_KEY = "etc/ssh/ssh_host_ed25519_key"


def prepare(machine: Machine, layers: list[Path]) -> None:
    """Make a machine above ``layers`` (uppermost first), ready for its first boot. Whatever was there goes."""
    shutil.rmtree(machine.folder, ignore_errors=True)
    for name in ("upper", "work", "root"):
        (machine.folder / name).mkdir(parents=True)
    machine.set_layers(layers)
    layout = machine.layout
    write(machine, "etc/hostname", f"{machine.name}\n")
    write(machine, "etc/machine-id", f"{uuid.uuid4().hex}\n")
    # A name that does not resolve makes each sudo wait for a name server that is not there.
    names = "".join(f"{address} {name}\n" for name, address in layout.names().items())
    write(machine, "etc/hosts", f"127.0.0.1 localhost\n::1 localhost\n{names}")
    write(machine, "etc/resolv.conf", "# No name server: this machine has no route to the outside.\n")
    network = f"[Match]\nName=host0\n[Network]\nAddress={machine.address}/24\nIPv6AcceptRA=no\nLLMNR=no\n"
    write(machine, "etc/systemd/network/10-host0.network", network)
    key = write(machine, _HOST_KEY, "")
    key.unlink()
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", machine.name, "-f", key], timeout=30)
    public = layout.key.with_suffix(".pub").read_text()
    write(machine, "root/.ssh/authorized_keys", public, mode=0o600)
    operator = write(machine, "home/operator/.ssh/authorized_keys", public, mode=0o600)
    _give(operator, like=layers[-1] / "home/operator")


def make_key(layout: Layout) -> None:
    """The key that opens every machine, unless it is there."""
    key = layout.key
    if not key.exists():
        key.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "hublab-sandbox", "-f", key], timeout=30)


def known_hosts(machine: Machine) -> str:
    """Return its line for known_hosts."""
    kind, key = machine.own(f"{_HOST_KEY}.pub").read_text().split()[:2]
    return f"{machine.address},{machine.name} {kind} {key}\n"


def write(machine: Machine, path: str, text: str, *, mode: int = 0o644) -> Path:
    """Write a file of its root while it is off. Folders that the tree below has keep their mode."""
    file = machine.upper / path
    below = machine.layers[-1]
    for parent in reversed(Path(path).parents[:-1]):
        folder = machine.upper / parent
        if not folder.exists():
            folder.mkdir(mode=0o700)
            if (below / parent).exists():
                shutil.copystat(below / parent, folder)
    file.write_text(text)
    file.chmod(mode)
    return file


def _give(key: Path, *, like: Path) -> None:
    """Hand a user's key, its folder and the home to the owner of the home in the tree below."""
    owner = like.stat()
    for path in (key, key.parent, key.parent.parent):
        os.chown(path, owner.st_uid, owner.st_gid)
