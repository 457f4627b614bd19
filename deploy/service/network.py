"""Which addresses a worker's runs cannot reach, and which of those they can after all. Pure."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    Network = ipaddress.IPv4Network | ipaddress.IPv6Network

ANY = "any"
# What is near a host, and no business of a flow's: the host itself, its own networks, its cloud's services.
_NEAR_IPV4 = (
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",  # behind a provider's address translation; Alibaba's metadata service is 100.100.100.200
    "127.0.0.0/8",
    "168.63.129.16/32",  # Azure's metadata and name service, a public address that leads nowhere else
    "169.254.0.0/16",  # link-local: the metadata service of nearly every cloud is 169.254.169.254
    "172.16.0.0/12",
    "192.0.0.0/24",  # Oracle's metadata service is 192.0.0.192
    "192.168.0.0/16",
    "198.18.0.0/15",
    "224.0.0.0/3",  # multicast, reserved, broadcast
)
_NEAR_IPV6 = (
    "::/127",  # unspecified, which leads to the host itself, and loopback
    "64:ff9b:1::/48",  # a network's own translation to IPv4
    "fc00::/7",  # Amazon's metadata service is fd00:ec2::254
    "fe80::/10",
    "fec0::/10",
    "ff00::/8",
)
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


def _translated(network: str) -> str:
    """An IPv4 network as it is reached from a host that has IPv6 alone."""
    inner = ipaddress.IPv4Network(network)
    return str(ipaddress.IPv6Network((int(_NAT64.network_address) + int(inner.network_address), 96 + inner.prefixlen)))


# Where a cloud tells whoever asks from within a machine what that machine may do, and with which credential.
_METADATA_IPV4 = ("169.254.0.0/16", "100.100.100.200/32", "168.63.129.16/32", "192.0.0.192/32")
METADATA = (
    *_METADATA_IPV4,
    "fd00:ec2::254/128",  # Amazon's
    "fd20:ce::254/128",  # Google's
    "fd00:42::42/128",  # Scaleway's
    "fd00:c1::a9fe:a9fe/128",  # Oracle's
    "fe80::/10",  # link-local: OpenStack's is fe80::a9fe:a9fe
    *map(_translated, _METADATA_IPV4),
)
DENIED = (*_NEAR_IPV4, *_NEAR_IPV6, *map(_translated, _NEAR_IPV4))


def denied(allow: Iterable[str], near: tuple[str, ...] = DENIED) -> tuple[str, ...]:
    """For `IPAddressDeny=`; nothing when HUBLAB_ALLOW_NETWORKS is `any`."""
    return () if ANY in allow else near


def allowed(allow: Iterable[str], reach: Iterable[str]) -> tuple[str, ...]:
    """For `IPAddressAllow=`: what the operator names, and of what a worker needs that which would be denied otherwise.

    Args:
        allow: HUBLAB_ALLOW_NETWORKS.
        reach: the addresses of the API and of the name servers. A public one is open to all, and may change.
    """
    named = [ipaddress.ip_network(item) for item in allow if item != ANY]
    needed = {ipaddress.ip_network(item) for item in reach}
    more = [item for item in needed if _within(item, map(ipaddress.ip_network, DENIED)) and not _within(item, named)]
    return tuple(str(item) for item in (*named, *sorted(more, key=lambda item: (item.version, item))))


def _within(inner: Network, outer: Iterable[Network]) -> bool:
    return any(inner.version == item.version and inner.subnet_of(item) for item in outer)  # type: ignore[arg-type]
