"""The bridge between the operator's machine and the sandbox's machines. It leads nowhere else."""

from __future__ import annotations

import json
from ipaddress import IPv4Network
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sandbox.errors import SandboxError
from sandbox.shell import run

if TYPE_CHECKING:
    from collections.abc import Collection

    from sandbox.layout import Layout

_VETH = "vb-"  # what systemd-nspawn puts before a machine's name


def up(layout: Layout) -> None:
    """Create the bridge with the operator's address on it, unless it is there.

    Raises:
        SandboxError: The subnet, or the address, already belongs to something else.
    """
    _refuse_taken(layout)
    if layout.bridge not in _links():
        run(["ip", "link", "add", layout.bridge, "type", "bridge"], timeout=10)
    address = f"{layout.operator_address}/{layout.subnet.prefixlen}"
    run(["ip", "address", "replace", address, "dev", layout.bridge], timeout=10)
    _lead_nowhere(layout.bridge)
    run(["ip", "link", "set", layout.bridge, "up"], timeout=10)
    part(layout, ())


def part(layout: Layout, names: Collection[str]) -> None:
    """From now on no packet passes between the machines of these names, without an answer; between others all do.

    The bridge does it, so that nothing in a machine tells. Each is still reached from the operator's machine.
    """
    apart = {_port(layout, name) for name in names}
    for port in interfaces(layout):
        if port != layout.bridge:
            isolated = "on" if port in apart else "off"
            # A machine that is off, or just booting, has none, or has it not on the bridge yet.
            run(["ip", "link", "set", port, "type", "bridge_slave", "isolated", isolated], timeout=10, check=False)


def _port(layout: Layout, name: str) -> str:
    return f"{_VETH}{layout.tag}-{layout.number(name)}"


def _lead_nowhere(bridge: str) -> None:
    """Forward nothing that comes in from the bridge, also where this machine is a router, and speak no IPv6 on it."""
    for setting, value in (("ipv4/conf/{}/forwarding", "0"), ("ipv6/conf/{}/disable_ipv6", "1")):
        file = Path("/proc/sys/net", setting.format(bridge))
        if file.exists() and file.read_text().strip() != value:
            file.write_text(f"{value}\n")


def down(layout: Layout) -> None:
    """Remove the bridge and every veth of this sandbox's machines. Nothing there is success too."""
    for name in _links():
        if name == layout.bridge or name.startswith(f"{_VETH}{layout.tag}-"):
            # A veth whose machine was just killed may vanish on its own in between.
            run(["ip", "link", "delete", name], timeout=10, check=False)


def interfaces(layout: Layout) -> list[str]:
    """Names of the interfaces that belong to this sandbox."""
    return [name for name in _links() if name == layout.bridge or name.startswith(f"{_VETH}{layout.tag}-")]


def _links() -> list[str]:
    return [str(link["ifname"]) for link in _ip("link", "show")]


def _refuse_taken(layout: Layout) -> None:
    for route in _ip("-4", "route", "show", "table", "all"):
        destination = str(route.get("dst", "default"))
        if destination == "default" or route.get("dev") == layout.bridge:
            continue
        if IPv4Network(destination, strict=False).overlaps(layout.subnet):
            raise SandboxError(
                f"the sandbox's subnet {layout.subnet} is taken: {destination} goes to {route.get('dev', '?')}; "
                "remedy: HUBLAB_SANDBOX_SUBNET=10.x.y.0/24 with a subnet that is free"
            )


def _ip(*arguments: str) -> list[dict[str, Any]]:
    answer: list[dict[str, Any]] = json.loads(run(["ip", "-json", *arguments], timeout=10).stdout or "[]")
    return answer
