"""How much may come in within an hour: of one mailbox, one domain, one caller, and of one route in all.

Counted in this process from the first call on: a restart begins anew, and two hosts count for themselves.
"""

from __future__ import annotations

import logging
import time
from ipaddress import IPv6Address, ip_address, ip_network
from typing import TYPE_CHECKING

from cachetools import TTLCache

from flows.recipients.mailbox import SHARED_DOMAINS, mailbox
from flows.services.settings import BadSettingError
from flows.webhooks.bodies import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable

    from flows.services.settings import Settings

HOUR = 3600
# As many counters as an hour's calls can make, and more than that: none is forgotten early.
COUNTERS = 100_000
NAMES = ("mailbox", "domain", "caller", "hour")
log = logging.getLogger("hublab.webhooks")


class Limits:
    """The calls of the last hour. `alarm` is told once an hour of each limit that is reached, with its route."""

    def __init__(
        self, settings: Settings, alarm: Callable[[str, str], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Raises BadSettingError: a limit that is no whole number from 1."""
        self._most = {name: _number(settings, f"webhook-limit-{name}") for name in NAMES}
        self._counts = TTLCache[tuple[str, str], list[int]](COUNTERS, HOUR, timer=clock)
        self._known = TTLCache[str, bool](COUNTERS, HOUR, timer=clock)
        self._told = TTLCache[tuple[str, str], bool](COUNTERS, HOUR, timer=clock)
        self._alarm = alarm

    def admit_caller(self, route: str, address: str) -> None:
        """Count a call from a browser's address. Raises Refusal (429)."""
        self._admit(route, {"caller": _network(address)})

    def admit(self, route: str, key: str, email: str) -> None:
        """Count an enrolment; one that came within the hour already counts once. Raises Refusal (429)."""
        if key in self._known:
            return
        box = mailbox(email)
        domain = box.rpartition("@")[2]
        counted = {"hour": route, "mailbox": box}
        self._admit(route, counted if domain in SHARED_DOMAINS else counted | {"domain": domain})
        self._known[key] = True

    def _admit(self, route: str, counted: dict[str, str]) -> None:
        # A counter lasts an hour from its first call, whatever comes after it.
        for name, what in counted.items():
            if self._counts.get((name, what), [0])[0] >= self._most[name]:
                self._tell(name, route)
                raise Refusal(429, f"too many: the limit of a {name} is reached; try again in an hour")
        for name, what in counted.items():
            self._counts.setdefault((name, what), [0])[0] += 1

    def _tell(self, name: str, route: str) -> None:
        if (name, route) in self._told:
            return
        self._told[name, route] = True
        text = f"more than {self._most[name]} calls within an hour of one {name} at /webhook/{route}; refused with 429"
        log.error("limit: %s (WEBHOOK_LIMIT_%s)", text, name.upper())
        self._alarm(f"limit-{name}-{route}", text)


def _number(settings: Settings, name: str) -> int:
    text = settings.get(name)
    if not text.isdecimal() or not 1 <= int(text) <= COUNTERS:
        variable = name.upper().replace("-", "_")
        raise BadSettingError(f"{variable}: {text!r} is not a whole number from 1 to {COUNTERS}")
    return int(text)


def _network(address: str) -> str:
    """What counts as one caller: an address, of IPv6 the network that a household has."""
    try:
        found = ip_address(address)
    except ValueError:
        return address
    return str(ip_network((found, 64), strict=False)) if isinstance(found, IPv6Address) else address
