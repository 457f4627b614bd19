"""The addresses that a worker cannot do without, as this host resolves them now: the API's and its name servers'."""

from __future__ import annotations

import contextlib
import ipaddress
import re
import socket
from urllib.parse import urlsplit

from deploy.onhost.common import read

RESOLV_CONF = "/etc/resolv.conf"


def reach(api_url: str, resolv_conf: str = RESOLV_CONF) -> list[str]:
    """Each address once, in an order that does not depend on the answers' own."""
    text = read(resolv_conf).decode(errors="replace")
    found = {*addresses_of(urlsplit(api_url).hostname or ""), *re.findall(r"^nameserver\s+(\S+)", text, re.MULTILINE)}
    return sorted({address for item in found if (address := plain(item))})


def addresses_of(host: str) -> set[str]:
    """What a name or an address resolves to; nothing where it does not."""
    with contextlib.suppress(OSError, UnicodeError):
        return {str(answer[4][0]) for answer in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)}
    return set()


def plain(address: str) -> str:
    """An IP address without the interface that may be named behind it; empty for what is none."""
    with contextlib.suppress(ValueError):
        return str(ipaddress.ip_address(address.partition("%")[0]))
    return ""
