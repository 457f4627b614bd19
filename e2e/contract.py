"""What must come out of what is put in: the four sequences as data. Pure, but for reading the file."""

from __future__ import annotations

import base64
import binascii
import tomllib
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping

# The flow that sends one mail, whatever the sequence.
SEND = "christmas-send-email"
_FILE = Path(__file__).with_name("contract.toml")
# The code that proves a token comes before the address in it.
_PROOF_BYTES = 16
_CRITICAL_RED, _URGENT_ORANGE = 2, 2


@dataclass(frozen=True)
class Sequence:
    """One of the four: its webhook, its handler's name, its mails' templates, and what is sent to enter it."""

    name: str
    webhook: str
    handler: str
    templates: tuple[str, ...]
    first_minute: int
    answers: dict[str, Any]

    def after(self, step: int, minute: float) -> timedelta:
        """How long after enrolment a mail is due in testing mode; `minute` is its minute's length in seconds."""
        return timedelta(seconds=(self.first_minute + step - 1) * minute)

    def variables(self, to: str) -> dict[str, str]:
        """What a template may name and the contact supplies, as it must read in a mail."""
        found = {name: str(value) for name, value in self.answers.items()} | {"email": to}
        if "red_systems" in self.answers:
            found["segment"] = segment(self.answers["red_systems"], self.answers["orange_systems"])
        return found


def segment(red: int, orange: int) -> str:
    """CRITICAL with two or more red systems, URGENT with one red or two orange, else OPTIMIZE."""
    if red >= _CRITICAL_RED:
        return "CRITICAL"
    return "URGENT" if red or orange >= _URGENT_ORANGE else "OPTIMIZE"


@dataclass(frozen=True)
class Terms:
    """What holds for every mail, whoever gets it: what the operator has set.

    Attributes:
        sender: `Name <address>`.
        reply_to: Where answers go; empty for the sender.
        public: Where the webhooks are reached.
        links: Variable → address, of the links that templates name.
        zone: The time zone of dates and times.
        hosts: Where a mail's links may lead and its pictures may come from.
    """

    sender: str
    reply_to: str = ""
    public: str = ""
    links: Mapping[str, str] = field(default_factory=dict)
    zone: str = "UTC"
    hosts: frozenset[str] = frozenset()

    def leaves(self, address: str, link: str) -> bool:
        """Whether a link is the one by which an address unsubscribes. That its proof holds, following it shows."""
        start, _, token = link.rpartition("/")
        try:
            raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            return False
        return start == f"{self.public.rstrip('/')}/unsubscribe" and raw[_PROOF_BYTES:] == address.encode()


def terms(values: Mapping[str, str]) -> Terms:
    """Those that a `.env` sets. `FUNNEL_LINK_HOSTS` names hosts of an author's own links, with commas between them."""
    public = values.get("HUBLAB_PUBLIC_URL", "")
    links = {
        "calendly_link": values.get("HUBLAB_CALENDLY_LINK", ""),
        "portal_url": values.get("HUBLAB_PORTAL_URL", ""),
    }
    answers = [str(value) for one in sequences().values() for value in one.answers.values()]
    named = [urlsplit(one).hostname for one in (public, values.get("FUNNEL_URL", ""), *links.values(), *answers)]
    more = values.get("FUNNEL_LINK_HOSTS", "").lower().replace(",", " ").split()
    hosts = frozenset([*filter(None, named), *more])
    zone = values.get("HUBLAB_TIMEZONE") or "UTC"
    return Terms(values.get("HUBLAB_SENDER", ""), values.get("HUBLAB_REPLY_TO", ""), public, links, zone, hosts)


@cache
def sequences() -> dict[str, Sequence]:
    """All four, by name."""
    return {
        name: Sequence(
            name, one["webhook"], one["handler"], tuple(one["templates"]), one["first_minute"], one["answers"]
        )
        for name, one in tomllib.loads(_FILE.read_text("utf-8")).items()
    }
