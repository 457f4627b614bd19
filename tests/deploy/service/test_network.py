"""Which addresses a worker cannot reach, and which of them it can after all."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest

from deploy.service import network
from deploy.service.unit import difference
from tests.deploy.units import directives, environment, render


def is_denied(address: str, allow: tuple[str, ...] = (), reach: tuple[str, ...] = ()) -> bool:
    """As systemd decides: what is allowed wins over what is denied (systemd.resource-control(5))."""
    wanted = ipaddress.ip_address(address)
    allowed, denied = network.allowed(allow, reach), network.denied(allow)
    inside = [[wanted in ipaddress.ip_network(item) for item in items] for items in (allowed, denied)]
    return any(inside[1]) and not any(inside[0])


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "127.8.9.10", "0.0.0.0", "::1", "::"),
        *("10.0.0.1", "172.16.0.1", "172.31.255.254", "192.168.1.1", "100.64.0.1", "fd12:3456::1"),
        *("169.254.169.254", "fe80::1", "fe80:0:0:1::1", "fd00:ec2::254"),
        *("168.63.129.16", "100.100.100.200", "192.0.0.192"),
        *("224.0.0.251", "255.255.255.255", "ff02::1"),
        *("64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b::a01:203"),
    ],
)
def test_what_is_near_is_denied(address: str) -> None:
    assert is_denied(address)


@pytest.mark.parametrize(
    "address",
    ["1.1.1.1", "9.255.255.255", "11.0.0.0", "172.15.0.1", "172.32.0.1", "2606:4700::1111", "64:ff9b::101:101"],
)
def test_internet_is_not_denied(address: str) -> None:
    assert not is_denied(address)


def test_what_a_worker_needs_is_allowed_and_no_neighbour_of_it() -> None:
    reach = ("10.1.2.3", "127.0.0.53", "fd00::7")
    assert [is_denied(item, reach=reach) for item in reach] == [False, False, False]
    assert [is_denied(item, reach=reach) for item in ("10.1.2.4", "127.0.0.1", "fd00::8")] == [True, True, True]


def test_public_addresses_are_not_named_since_they_may_change() -> None:
    assert network.allowed((), ("1.1.1.1", "2606:4700::1111")) == ()
    assert render(reach=("104.18.1.1",)) == render(reach=("104.18.2.2",))


def test_what_the_operator_names_covers_what_is_needed() -> None:
    """An API whose address moves within a network that is named changes no unit."""
    assert network.allowed(("10.1.0.0/16",), ("10.1.2.3",)) == ("10.1.0.0/16",)
    assert network.allowed((), ("10.1.2.4", "10.1.2.3")) == ("10.1.2.3/32", "10.1.2.4/32")


def bounds(**changes: Any) -> set[str]:
    """Which of the two a unit has."""
    return {"IPAddressDeny", "SocketBindDeny"} & {key for key, _ in directives(render(**changes))}


def test_each_bound_is_switched_off_by_itself() -> None:
    assert bounds() == {"IPAddressDeny", "SocketBindDeny"}
    assert bounds(allow_networks=("any",)) == {"SocketBindDeny"}
    assert bounds(allow_listen=True) == {"IPAddressDeny"}
    assert environment(render(allow_listen=True))["HUBLAB_ALLOW_LISTEN"] == "yes"


def test_another_address_of_the_api_is_told() -> None:
    before, after = render(reach=("10.1.2.3",)), render(reach=("10.1.2.4",))
    assert difference(before, after) == " (IPAddressAllow 10.1.2.3/32 → 10.1.2.4/32)"
