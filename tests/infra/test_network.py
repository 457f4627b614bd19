"""What a worker reaches, by trying: each address is tried by root on the host, and then held to the unit's rules."""

from __future__ import annotations

import ipaddress
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from tests.infra.walls import asked

if TYPE_CHECKING:
    from testinfra.host import Host

    from deploy.settings import Settings

# A datagram is refused at once where a rule forbids its address, whoever listens there or not.
SEND = """
import json, socket, sys
found = {}
for address in json.loads(sys.argv[1]):
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as line:
        try:
            line.sendto(b"x", (address, 9))
            found[address] = "sent"
        except OSError as error:
            found[address] = type(error).__name__
print(json.dumps(found))
"""
CONNECT = """
import json, socket, sys
host, port = json.loads(sys.argv[1])
try:
    socket.create_connection((host, port), timeout=5).close()
    print('"connected"')
except OSError as error:
    print(json.dumps(type(error).__name__))
"""
BIND = """
import json, socket, sys
from worker import landlock
if json.loads(sys.argv[1]):
    landlock.enter([], ["/"], "/", listen=False)
with socket.socket() as line:
    try:
        line.bind(("0.0.0.0", 0))
        print('"bound"')
    except OSError as error:
        print(json.dumps(type(error).__name__))
"""
LANDLOCK = 4  # the first version that knows ports
METADATA = ["169.254.169.254", "fd00:ec2::254", "168.63.129.16", "100.100.100.200", "192.0.0.192"]
NEAR = [
    *("127.0.0.1", "127.8.8.8", "::1"),
    *("10.255.255.1", "172.16.0.1", "192.168.0.1", "100.64.0.1", "fd00::1"),
    *METADATA,
]


def may_reach(settings: Settings, address: str) -> bool:
    """Whether HUBLAB_ALLOW_NETWORKS names it."""
    named = [item for item in settings.allow_networks if item != "any"]
    wanted = ipaddress.ip_address(address)
    return "any" in settings.allow_networks or any(wanted in ipaddress.ip_network(item) for item in named)


def test_nothing_near_is_reached(host: Host, pid: str, settings: Settings) -> None:
    """What root cannot reach either, since no route leads there, says nothing; loopback always does."""
    there = asked(host, SEND, NEAR)
    assert there["127.0.0.1"] == "sent", "the control does not reach loopback: this check would prove nothing"
    found = asked(host, SEND, NEAR, pid)
    wanted = {address: "sent" if may_reach(settings, address) else "PermissionError" for address in NEAR}
    tried = [address for address in NEAR if there[address] == "sent"]
    wrong = {address: found[address] for address in tried if found[address] != wanted[address]}
    assert wrong == {}, "reached or refused against the settings; IPAddressDeny= needs cgroup v2 and its BPF programs"


def test_the_hosts_own_ssh_is_not_reached(host: Host, pid: str, settings: Settings) -> None:
    ports = [int(word.rpartition(":")[2]) for word in host.check_output("ss -Hltn").split() if word.endswith(":22")]
    if not ports or may_reach(settings, "127.0.0.1"):
        pytest.skip("nobody listens at port 22, or HUBLAB_ALLOW_NETWORKS names loopback")
    assert asked(host, CONNECT, ["127.0.0.1", 22]) == "connected"
    assert asked(host, CONNECT, ["127.0.0.1", 22], pid) == "TimeoutError"


def test_the_api_is_reached(host: Host, pid: str, settings: Settings) -> None:
    parts = urlsplit(settings.api_url)
    place = [parts.hostname, parts.port or {"http": 80, "https": 443}[parts.scheme]]
    assert asked(host, CONNECT, place, pid) == "connected"


def test_nothing_can_listen(host: Host, pid: str, settings: Settings, release: str) -> None:
    """In a domain as each run has one; that runs have it, the probe tries (`test_workers.py`).

    systemd's own `SocketBindDeny=` is a second bound where it has BPF_FRAMEWORK, until the next daemon-reload: with
    systemd 257 a unit that runs has lost it then.
    """
    if settings.allow_listen:
        assert asked(host, BIND, argument=False, pid=pid) == "bound"
        return
    found: Any = asked(host, BIND, argument=True, pid=pid)
    kernel = json.loads(host.check_output("%s -P -m worker.landlock", f"{release}/venv/bin/python"))
    if found == "bound" and kernel["abi"] < LANDLOCK:
        pytest.skip("NOT ENFORCED: this systemd refuses no bind, and this kernel is older than Linux 6.7")
    assert found == "PermissionError"
