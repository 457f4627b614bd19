"""Where a sandbox keeps its things, and the names it goes by.

Everything that the kernel knows by a name (bridge, veth, cgroup, subnet) carries six hex digits, the sandbox's tag: two
checkouts on one machine never meet, and `down` knows its own without keeping a list.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from sandbox import place
from sandbox.errors import SandboxError

CHECKOUT = place.CHECKOUT
DEFAULT_ROOT = CHECKOUT / ".sandbox"
SERVER = "server"
_SERVER_NUMBER = 10  # last byte of the server's address; hosts follow it
MAX_HOSTS = 50


@dataclass(frozen=True)
class Layout:
    """Paths and names of one sandbox.

    Attributes:
        root: Folder that holds all its state and that `down` removes.
        trees: Folder of the read-only file trees that machines share; below ``root`` unless sandboxes share it.
    """

    root: Path
    trees: Path

    @cached_property
    def tag(self) -> str:
        """Six hex digits that stand for this sandbox."""
        return place.tag(self.root)

    @property
    def bridge(self) -> str:
        """Name of the bridge; an interface's name has 15 characters at most."""
        return f"hub{self.tag}"

    @property
    def cgroup(self) -> str:
        """Name of the cgroup in which every process of this sandbox lives."""
        return f"hublab-{self.tag}"

    @cached_property
    def subnet(self) -> IPv4Network:
        """The sandbox's own /24: HUBLAB_SANDBOX_SUBNET, or one out of 10.128.0.0/9 chosen by the tag."""
        wanted = os.environ.get("HUBLAB_SANDBOX_SUBNET")
        if wanted is None:
            return IPv4Network(f"10.{128 + int(self.tag[:2], 16) % 127}.{int(self.tag[2:4], 16)}.0/24")
        try:
            subnet = IPv4Network(wanted)
        except ValueError as error:
            raise SandboxError(
                f"HUBLAB_SANDBOX_SUBNET: {wanted!r} is not a subnet ({error}); example: 10.200.7.0/24"
            ) from error
        if subnet.prefixlen != 24:  # noqa: PLR2004
            raise SandboxError(f"HUBLAB_SANDBOX_SUBNET: {wanted!r} must be a /24; example: 10.200.7.0/24")
        return subnet

    @property
    def operator_address(self) -> IPv4Address:
        """The operator's machine as the sandbox's machines see it."""
        return self.subnet[1]

    def number(self, name: str) -> int:
        """Last byte of a machine's address: 10 for the server, 10 + n for hublab-n."""
        if name == SERVER:
            return _SERVER_NUMBER
        prefix, _, digits = name.partition("-")
        if prefix != "hublab" or not digits.isdigit() or not 1 <= int(digits) <= MAX_HOSTS:
            raise SandboxError(f"no machine is called {name!r}: it is 'server' or hublab-1 to hublab-{MAX_HOSTS}")
        return _SERVER_NUMBER + int(digits)

    def address(self, name: str) -> IPv4Address:
        """Address of a machine on the bridge."""
        return self.subnet[self.number(name)]

    def names(self) -> dict[str, IPv4Address]:
        """Every name that machines resolve through /etc/hosts, whether the machine exists yet or not."""
        machines = [SERVER, *(f"hublab-{number}" for number in range(1, MAX_HOSTS + 1))]
        return {"operator": self.operator_address} | {name: self.address(name) for name in machines}

    @property
    def ready(self) -> Path:
        """Marks a sandbox that was up once. What is there without it is rubble of an `up` that was cut off."""
        return self.root / "ready"

    @property
    def temporary(self) -> Path:
        """Folder of the builders' temporary files."""
        return self.trees / "temporary.partial"

    @property
    def machines(self) -> Path:
        """Folder with one folder per machine."""
        return self.root / "machines"

    @property
    def logs(self) -> Path:
        """Folder of the builders' and machines' console logs."""
        return self.root / "logs"

    @property
    def key(self) -> Path:
        """Private key that opens every machine."""
        return self.root / "ssh" / "key"

    @property
    def known_hosts(self) -> Path:
        """Host keys of every machine, made before its first boot."""
        return self.root / "ssh" / "known_hosts"

    @property
    def env_file(self) -> Path:
        """The inventory that the sandbox writes for the deploy."""
        return self.root / "env"

    @property
    def campaign_file(self) -> Path:
        """The same with a campaign's settings, where one is set up; the deploy goes by it then."""
        return self.root / "campaign.env"


def layout(root: Path | None = None, trees: Path | None = None) -> Layout:
    """Return the layout of the sandbox at ``root`` (the checkout's own by default).

    Its trees are below it unless ``trees``, or else HUBLAB_SANDBOX_TREES, names a folder that sandboxes share.

    Raises:
        SandboxError: One of the two can never be a sandbox's: a home directory, this checkout, a mount point.
    """
    real = place.real(root or DEFAULT_ROOT)
    given = os.environ.get("HUBLAB_SANDBOX_TREES")
    shared = trees or (Path(given) if given else None)
    found = Layout(real, place.real(shared) if shared else real / "trees")
    place.refuse_strangers(found.root, found.trees)
    return found


def shared_trees() -> Path:
    """The folder for the trees of all tests and benchmarks: HUBLAB_SANDBOX_TREES, or the checkout's own."""
    return Path(os.environ.get("HUBLAB_SANDBOX_TREES") or CHECKOUT / ".hublab/trees")
