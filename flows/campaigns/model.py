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
from typing import TYPE_CHECKING, Any

from flows.campaigns import clock, quiet

if TYPE_CHECKING:
    from datetime import time

    from flows.campaigns.quiet import Quiet

HERE = Path(__file__).parent
GENERIC_HANDLER = "campaign-enrolment-handler"
_DELAY = re.compile(r"(\d{1,5})(min|h|d)")
_UNITS = {"min": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}
_NAME = re.compile(r"[a-z][a-z0-9]*\Z")
_ROUTE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~-]*")  # what stands in an address as it is, of which callers have any
MAX_STEPS = 7  # the record has the properties `Email 1 Sent` to `Email 7 Sent`
KEYS = frozenset(
    {"webhook", "handler", "type", "started", "testing_first_minute", "round", "steps", "stop_on_booking", "fields"}
    | {"record", "contact", "project", "kind", "expires", "retired", "defaults", "signed", "browser", "quiet"}
    | {"occasion", "no_show", "converts", "confirm"}
)
SIGNERS = ("calendly", "calcom")
KINDS = ("marketing", "transactional")
SEGMENTS = ("CRITICAL", "URGENT", "OPTIMIZE")
LISTED = ("stop_on_booking", "retired", "signed")
NAMED = ("webhook", "handler", "type", "started", "occasion")
NUMBERS = {"round": 1, "testing_first_minute": 0}  # and the least of each
SERVICES = frozenset({"calcom-booking", "calendly", "resend"})
"""Routes of the webhooks that no sequence may have."""
TABLES = ("fields", "record", "contact", "project", "defaults")
REQUIRED = frozenset({"webhook", "steps", "fields", "record", "contact"})


class CampaignError(ValueError):
    """A campaign file that cannot be used; names the file and the key."""


@dataclass(frozen=True)
class Step:
    """One mail of a sequence: `number` from 1, `template` by its name in Notion, `delay` from enrolment.

    With `at` it goes when that delay is over and the local clock shows this time of day. `by_segment` has, where a
    step's template depends on the contact's segment, one for each; `template` is then empty.
    """

    number: int
    template: str
    delay: timedelta
    by_segment: dict[str, str] = field(default_factory=dict)
    at: time | None = None

    @property
    def templates(self) -> tuple[str, ...]:
        """Every template that the step may use."""
        return tuple(self.by_segment.values()) or (self.template,)

    def template_for(self, found: str | None) -> str:
        """The template for a contact of that segment; of none counts as OPTIMIZE."""
        return self.by_segment.get(found or SEGMENTS[-1], self.template)


@dataclass(frozen=True)
class Sequence:
    """The mails that one enrolment brings, and what is written about it in Notion.

    `fields` are the payload's, name → type (see `payloads.py`). `record`, `contact` and `project` map a Notion
    property to a field, or to a fixed value written `=value`. `round` above 1 lets every address in once more.
    `kind` says whether who has unsubscribed from the campaign still gets it; `expires`, after how long past its time a
    mail is not worth sending; `retired`, templates that are not sent any more to those enrolled already; `defaults`,
    what a template shows for a field that the payload leaves out. `signed` names who may open the webhook with a
    signature (`calendly`, `calcom`); `browser` lets a visitor's own browser call it, where WEBHOOK_ORIGINS is set.
    `occasion` is the field whose every value enrols a person anew; `no_show` has the no-shows that Calendly and Cal.com
    tell of enrolled here; `converts` ends the campaign's marketing for who is enrolled; `confirm` keeps all mails after
    the first from who has not followed its `confirm_url`; `quiet` are the hours in which nothing is sent.
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
    kind: str = "marketing"
    expires: timedelta | None = None
    retired: tuple[str, ...] = ()
    defaults: dict[str, Any] = field(default_factory=dict)
    signed: tuple[str, ...] = ()
    browser: bool = False
    occasion: str = ""
    no_show: bool = False
    converts: bool = False
    confirm: bool = False
    quiet: Quiet | None = None

    @property
    def templates(self) -> tuple[str, ...]:
        """Every template that the sequence may use."""
        return tuple(dict.fromkeys(name for step in self.steps for name in step.templates))

    @property
    def variables(self) -> frozenset[str]:
        """The names that a template of this sequence may use."""
        computed = {"segment"} if "red_systems" in self.fields else set()
        links = {"calendly_link", "portal_url", "unsubscribe_url"} | ({"confirm_url"} if self.confirm else set())
        return frozenset(self.fields) | computed | links

    def step(self, number: int) -> Step:
        """The step of that number.

        Raises:
            CampaignError: the sequence has no such step.
        """
        if not 1 <= number <= len(self.steps):
            raise CampaignError(
                f"{self.campaign}/{self.name}: there is no step {number}; it has 1 to {len(self.steps)}"
            )
        return self.steps[number - 1]

    def due(self, number: int, enrolled: datetime, *, testing: bool, minute: float = 60, zone: str = "UTC") -> datetime:
        """When a step goes out, by the clocks of `zone`; in testing mode minutes (of `minute` seconds) apart."""
        step = self.step(number)
        if testing:
            return enrolled + timedelta(seconds=(self.testing_first_minute + number - 1) * minute)
        after = enrolled + step.delay
        return after if step.at is None else clock.next_at(after, step.at, zone)

    def key_of(self, details: dict[str, Any]) -> str:
        """The key of the enrolment that a payload asks for."""
        return self.key(details["email"], str(details.get(self.occasion) or "") if self.occasion else "")

    def key(self, email: str, occasion: str = "") -> str:
        """The enrolment's key: the same for the same address however it is written, and without the address in it."""
        text = normalised(email) + (f"\n{occasion}" if occasion else "")
        digest = hashlib.sha256(text.encode()).hexdigest()[:24]
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
        _check_head(data, source)
        return {name: _sequence(data, name, table, source) for name, table in data["sequences"].items()}
    except tomllib.TOMLDecodeError as error:
        raise CampaignError(f"{source}: not TOML: {error}") from None
    except KeyError as error:
        raise CampaignError(f"{source}: the key {error} is missing") from None


def _check_head(data: dict[str, Any], source: str) -> None:
    for key in ("campaign", "label"):
        if not isinstance(data[key], str) or not data[key].strip():
            raise CampaignError(f"{source}: {key}: {data[key]!r} is no name; write it in quotes")
    _check_table(source, "sequences", data["sequences"])
    for name, table in data["sequences"].items():
        _check_table(source, f"sequences.{name}", table)
        for key in TABLES:
            _check_table(source, f"sequences.{name}.{key}", table.get(key, {}))


def _check_table(source: str, name: str, found: Any) -> None:
    if not isinstance(found, dict):
        raise CampaignError(f"{source}: {name}: {found!r} is no table; write it as [{name}]")


def _sequence(data: dict[str, Any], name: str, table: dict[str, Any], source: str) -> Sequence:
    where = f"{source}: sequences.{name}"
    if misnamed := [one for one in (data["campaign"], name) if not _NAME.match(one)]:
        raise CampaignError(
            f"{where}: {misnamed[0]!r}: a campaign's or sequence's name is lower-case letters and digits"
        )
    unknown, missing = set(table) - KEYS, REQUIRED - set(table)
    if unknown or missing:
        wrong = f"unknown key {min(unknown)}" if unknown else f"the key {min(missing)} is missing"
        raise CampaignError(f"{where}: {wrong}")
    if "email" not in table["fields"]:
        raise CampaignError(f"{where}.fields: email is missing")
    _check_tables(where, table)
    steps = tuple(_step(where, number, raw) for number, raw in enumerate(table["steps"], 1))
    if not 1 <= len(steps) <= MAX_STEPS:
        raise CampaignError(f"{where}.steps: there are {len(steps)}, and must be 1 to {MAX_STEPS}")
    if any(step.by_segment for step in steps) and "red_systems" not in table["fields"]:
        raise CampaignError(f"{where}.steps: a template by segment needs the field red_systems")
    rest: dict[str, Any] = {key: value for key, value in table.items() if key != "steps"}
    rest |= {key: tuple(table.get(key, ())) for key in LISTED}
    if "expires" in table and (expires := _delay(table["expires"])) is None:
        raise CampaignError(f"{where}.expires: {table['expires']!r} is no length of time; write 5min, 48h or 2d")
    rest |= {"expires": expires} if "expires" in table else {}
    if "quiet" in table:
        try:
            rest["quiet"] = quiet.parse(table["quiet"])
        except ValueError as error:
            raise CampaignError(f"{where}.quiet: {error}") from None
        if never := [step for step in steps if step.at is not None and rest["quiet"].has(step.at)]:
            at = f"{never[0].at:%H:%M}"
            raise CampaignError(
                f"{where}.steps[{never[0].number}].at: {at!r} is within the hours of quiet, when no mail goes; change "
                "one of the two"
            )
    return Sequence(data["campaign"], data["label"], name, steps=steps, **rest)


def _check_tables(where: str, table: dict[str, Any]) -> None:
    if not isinstance(steps := table["steps"], list):
        raise CampaignError(f"{where}.steps: {steps!r} is no list; write it as [{{ template = …, after = … }}]")
    _check_kinds(where, table)
    _check_names(where, table)
    for key in ("record", "contact", "project"):
        unsupplied = set(table.get(key, {}).values()) - set(table["fields"]) - {"segment"}
        if wrong_source := {one for one in unsupplied if not one.startswith("=")}:
            raise CampaignError(f"{where}.{key}: {min(wrong_source)!r} is no field of the sequence, nor a fixed =value")
    if extra := set(table.get("defaults", {})) - set(table["fields"]):
        raise CampaignError(f"{where}.defaults: {min(extra)!r} is no field of the sequence")
    if extra := set(table.get("signed", ())) - set(SIGNERS):
        raise CampaignError(f"{where}.signed: {min(extra)!r} is none of {', '.join(SIGNERS)}")
    if (occasion := table.get("occasion")) and not table["fields"].get(occasion, "").endswith("!"):
        raise CampaignError(f"{where}.occasion: {occasion!r} is no field that is required")
    for key in ("browser", "no_show", "converts", "confirm"):
        if not isinstance(table.get(key, False), bool):
            raise CampaignError(f"{where}.{key}: {table[key]!r} is neither true nor false")
    if table.get("kind", KINDS[0]) not in KINDS:
        raise CampaignError(f"{where}.kind: {table['kind']!r} is none of {', '.join(KINDS)}")


def _check_kinds(where: str, table: dict[str, Any]) -> None:
    """A value of another kind would only be met at the first signup, or never."""
    for key, least in NUMBERS.items():
        if type(number := table.get(key, least)) is not int or number < least:
            raise CampaignError(f"{where}.{key}: {number!r} is no whole number from {least}; write it without quotes")
    for key in NAMED:
        if not isinstance(name := table.get(key, key), str) or not name.strip():
            raise CampaignError(f"{where}.{key}: {name!r} is no name; write it in quotes")
    if not _ROUTE.fullmatch(route := table["webhook"]):
        raise CampaignError(f"{where}.webhook: {route!r} is no route; write lower-case letters, digits and -")
    if route in SERVICES:
        raise CampaignError(f"{where}.webhook: {route!r} is the route of a service; give it another one")
    for key in LISTED:
        value = table.get(key, [])
        if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
            # A text would be read letter by letter.
            raise CampaignError(f'{where}.{key}: {value!r} is no list of names; write it as ["…"]')


def _check_names(where: str, table: dict[str, Any]) -> None:
    for key in ("fields", "record", "contact", "project"):
        for name, value in table.get(key, {}).items():
            if not isinstance(value, str):
                raise CampaignError(f"{where}.{key}: {name} = {value!r} is no name; write it in quotes")


def _delay(text: Any) -> timedelta | None:
    found = _DELAY.fullmatch(str(text))
    return int(found[1]) * _UNITS[found[2]] if found else None


def _step(where: str, number: int, raw: dict[str, Any]) -> Step:
    given = raw if isinstance(raw, dict) else {}
    delay, template = _delay(given.get("after")), given.get("template")
    if delay is None or not template or set(raw) - {"after", "template", "at"}:
        wanted = "needs template and after (as 5min, 48h or 2d), and may have at (as 09:00)"
        raise CampaignError(f"{where}.steps[{number}]: {wanted}, not {raw}")
    try:
        at = clock.parse(raw["at"]) if "at" in raw else None
    except ValueError as error:
        raise CampaignError(f"{where}.steps[{number}].at: {error}") from None
    if isinstance(template, str):
        return Step(number, template, delay, at=at)
    named = isinstance(template, dict) and all(one and isinstance(one, str) for one in template.values())
    if not named or set(template) != set(SEGMENTS):
        raise CampaignError(f"{where}.steps[{number}].template: a name, or one for each of {', '.join(SEGMENTS)}")
    return Step(number, "", delay, dict(template), at)


@cache
def _loaded(folder: str) -> dict[tuple[str, str], Sequence]:
    found: dict[tuple[str, str], Sequence] = {}
    for path in sorted({*HERE.glob("*.toml"), *Path(folder).glob("*.toml")}):
        for sequence in parse(path.read_text("utf-8"), path.name).values():
            taken = [s for s in found.values() if s.webhook == sequence.webhook or _same(s, sequence)]
            if taken:
                other = f"{taken[0].campaign}/{taken[0].name}"
                raise CampaignError(
                    f"{path.name}: sequences.{sequence.name}: its name or its webhook {sequence.webhook!r} is that of "
                    f"{other}; give it another one"
                )
            found[sequence.campaign, sequence.name] = sequence
    return found


def _same(one: Sequence, other: Sequence) -> bool:
    return (one.campaign, one.name) == (other.campaign, other.name)


def sequences() -> dict[tuple[str, str], Sequence]:
    """All sequences of all campaign files beside this module and in HUBLAB_CAMPAIGNS, by campaign and name.

    Raises:
        CampaignError: a file that cannot be used.
    """
    return _loaded(os.environ.get("HUBLAB_CAMPAIGNS") or str(HERE))


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
