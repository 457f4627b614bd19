"""Campaigns as data: their sequences, steps, delays and keys. Pure: no client, no Prefect."""

from __future__ import annotations

import hashlib
import os
import re
import tomllib
import unicodedata
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
GENERIC_HANDLER = "campaign-enrolment-handler"
_DELAY = re.compile(r"(\d+)(min|h|d)")
_UNITS = {"min": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}
_NAME = re.compile(r"[a-z][a-z0-9]*\Z")
MAX_STEPS = 7  # the record has the properties `Email 1 Sent` to `Email 7 Sent`
KEYS = frozenset(
    {"webhook", "handler", "type", "started", "testing_first_minute", "round", "steps", "stop_on_booking", "fields"}
    | {"record", "contact", "project"}
)
REQUIRED = frozenset({"webhook", "steps", "fields", "record", "contact"})


class CampaignError(ValueError):
    """A campaign file that cannot be used; names the file and the key."""


@dataclass(frozen=True)
class Step:
    """One mail of a sequence: `number` from 1, `template` by its name in Notion, `delay` from enrolment."""

    number: int
    template: str
    delay: timedelta


@dataclass(frozen=True)
class Sequence:
    """The mails that one enrolment brings, and what is written about it in Notion.

    `fields` are the payload's, name → type (see `payloads.py`). `record`, `contact` and `project` map a Notion
    property to a field, or to a fixed value written `=value`. `round` above 1 lets every address in once more.
    """

    campaign: str
    label: str
    name: str
    webhook: str
    steps: tuple[Step, ...]
    fields: dict[str, str]
    record: dict[str, str]
    contact: dict[str, str]
    handler: str = GENERIC_HANDLER
    type: str | None = None
    started: str = "Sequence Created"
    testing_first_minute: int = 1
    round: int = 1
    stop_on_booking: tuple[str, ...] = ()
    project: dict[str, str] = field(default_factory=dict)

    @property
    def variables(self) -> frozenset[str]:
        """The names that a template of this sequence may use."""
        computed = {"segment"} if "red_systems" in self.fields else set()
        return frozenset(self.fields) | computed | {"calendly_link", "portal_url", "unsubscribe_url"}

    def step(self, number: int) -> Step:
        """The step of that number.

        Raises:
            CampaignError: the sequence has no such step.
        """
        if not 1 <= number <= len(self.steps):
            raise CampaignError(f"{self.campaign}/{self.name}: step {number} is not 1..{len(self.steps)}")
        return self.steps[number - 1]

    def due(self, number: int, enrolled: datetime, *, testing: bool, minute: float = 60) -> datetime:
        """When a step goes out; in testing mode one minute (of `minute` seconds) after the other."""
        step = self.step(number)
        delay = timedelta(seconds=(self.testing_first_minute + number - 1) * minute) if testing else step.delay
        return enrolled + delay

    def key(self, email: str) -> str:
        """The enrolment's key: the same for the same address however it is written, and without the address in it."""
        digest = hashlib.sha256(normalised(email).encode()).hexdigest()[:24]
        again = f"-r{self.round}" if self.round > 1 else ""
        return f"{self.campaign}-{self.name}-{digest}{again}"


def normalised(email: str) -> str:
    """An address in the form that decides whether two are the same: NFC, no spaces around, lower case."""
    return unicodedata.normalize("NFC", email).strip().lower()


def segment(red: int, orange: int) -> str:
    """The segment of a contact, by the number of red and orange systems."""
    if red >= 2:  # noqa: PLR2004 - the domain's own thresholds
        return "CRITICAL"
    return "URGENT" if red == 1 or orange >= 2 else "OPTIMIZE"  # noqa: PLR2004


def parse(text: str, source: str) -> dict[str, Sequence]:
    """The sequences of one campaign file, by name.

    Raises:
        CampaignError: not TOML, an unknown or missing key, a bad value; `source` names the file.
    """
    try:
        data = tomllib.loads(text)
        sequences = data["sequences"]
        return {name: _sequence(data, name, table, source) for name, table in sequences.items()}
    except tomllib.TOMLDecodeError as error:
        raise CampaignError(f"{source}: not TOML: {error}") from None
    except KeyError as error:
        raise CampaignError(f"{source}: the key {error} is missing") from None


def _sequence(data: dict[str, Any], name: str, table: dict[str, Any], source: str) -> Sequence:
    where = f"{source}: sequences.{name}"
    if not _NAME.match(name) or not _NAME.match(data["campaign"]):
        raise CampaignError(f"{where}: names of campaigns and sequences are lower-case letters and digits")
    unknown, missing = set(table) - KEYS, REQUIRED - set(table)
    if unknown or missing:
        wrong = f"unknown key {min(unknown)}" if unknown else f"the key {min(missing)} is missing"
        raise CampaignError(f"{where}: {wrong}")
    if "email" not in table["fields"]:
        raise CampaignError(f"{where}.fields: email is missing")
    steps = tuple(_step(where, number, raw) for number, raw in enumerate(table["steps"], 1))
    if not 1 <= len(steps) <= MAX_STEPS:
        raise CampaignError(f"{where}.steps: {len(steps)} is not 1..{MAX_STEPS}")
    rest = {key: value for key, value in table.items() if key not in {"steps", "stop_on_booking"}}
    stops = tuple(table.get("stop_on_booking", ()))
    return Sequence(data["campaign"], data["label"], name, steps=steps, stop_on_booking=stops, **rest)


def _step(where: str, number: int, raw: dict[str, str]) -> Step:
    found = _DELAY.fullmatch(str(raw.get("after")))
    if not found or not raw.get("template"):
        raise CampaignError(f"{where}.steps[{number}]: needs template and after (as 5min, 48h or 2d), not {raw}")
    return Step(number, raw["template"], int(found[1]) * _UNITS[found[2]])


@cache
def _loaded(folder: str) -> dict[tuple[str, str], Sequence]:
    found: dict[tuple[str, str], Sequence] = {}
    for path in sorted({*HERE.glob("*.toml"), *Path(folder).glob("*.toml")}):
        for sequence in parse(path.read_text("utf-8"), path.name).values():
            taken = [s for s in found.values() if s.webhook == sequence.webhook or _same(s, sequence)]
            if taken:
                raise CampaignError(f"{path.name}: sequences.{sequence.name}: its name or webhook is taken")
            found[sequence.campaign, sequence.name] = sequence
    return found


def _same(one: Sequence, other: Sequence) -> bool:
    return (one.campaign, one.name) == (other.campaign, other.name)


def sequences() -> dict[tuple[str, str], Sequence]:
    """All sequences of all campaign files beside this module and in HUBLAB_CAMPAIGNS, by campaign and name.

    Raises:
        CampaignError: a file that cannot be used.
    """
    return _loaded(os.environ.get("HUBLAB_CAMPAIGNS", str(HERE)))


def sequence(campaign: str, name: str) -> Sequence:
    """One sequence.

    Raises:
        CampaignError: there is none of that name.
    """
    try:
        return sequences()[campaign, name]
    except KeyError:
        known = ", ".join("/".join(key) for key in sequences())
        raise CampaignError(f"{campaign}/{name}: no such sequence; there are {known}") from None
