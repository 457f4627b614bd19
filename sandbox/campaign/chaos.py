"""Many enrolments in a storm: what runs is killed, services misbehave; then the count: nothing lost, nothing doubled.

The kills end with the last mail, or when there were as many as were asked for. Ten minutes later everything must be
right by itself.
"""

from __future__ import annotations

import math
import random
import subprocess
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx

from sandbox.campaign.contacts import address
from sandbox.campaign.mails import accepted_by_place
from sandbox.campaign.setup import start
from sandbox.campaign.strikes import STRIKES, WORKERS
from sandbox.campaign.verdict import Outcome, judge
from sandbox.errors import SandboxError
from sandbox.shell import say

if TYPE_CHECKING:
    from sandbox.campaign.core import Campaign
    from sandbox.core import Sandbox

STEPS = 7
# Small chances on every call: most runs meet one or two of these. `drop` closes the connection without an answer.
NOTION_FAULTS = [
    {"kind": "refuse", "status": 429, "code": "rate_limited", "headers": {"Retry-After": "1"}, "probability": 0.03},
    {"kind": "refuse", "status": 529, "code": "service_overload", "probability": 0.02},
    {"kind": "saved-but-refused", "status": 503, "probability": 0.03},
    {"kind": "drop-before", "probability": 0.01},
    {"kind": "drop-after", "probability": 0.02},
]
RESEND_FAULTS = [
    {"kind": "refuse", "status": 429, "code": "rate_limit_exceeded", "probability": 0.03},
    {"kind": "refuse", "status": 500, "code": "application_error", "probability": 0.03},
    {"kind": "saved-but-refused", "status": 500, "code": "application_error", "probability": 0.04},
    {"kind": "slow", "seconds": 3, "probability": 0.03},
    {"kind": "drop-after", "probability": 0.04},
]
_LOOK_EVERY = 10.0
_STALLED_SECONDS = 900.0  # longer than any postponement that a few faults bring
_SETTLED_SECONDS = 600.0  # after the last fault


@dataclass(frozen=True)
class Plan:
    """How many signups of seven mails; seconds between two kills; what the dice start from; Notion's limit.

    `most` bounds the kills, however slow the machine; 0 for no bound.
    """

    enrolments: int
    every: float = 5.0
    seed: int = 0
    notion_per_minute: int = 180
    most: int = 0


@dataclass
class Killer(threading.Thread):
    """Strikes something, again and again, until told to stop."""

    campaign: Campaign
    plan: Plan
    killed: Counter[str] = field(default_factory=Counter)
    last: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        """A thread that is not yet started."""
        super().__init__(name="killer", daemon=True)
        self._enough = threading.Event()
        self._random = random.Random(self.plan.seed)  # noqa: S311 - repeatable, not cryptography

    # A thread is told apart by its identity, not by what it has.
    __hash__ = threading.Thread.__hash__

    def run(self) -> None:
        """Kill until told to stop, or often enough; a kill that finds nobody does not count."""
        weights = [strike.weight for strike in STRIKES]
        while not self._enough.wait(self.plan.every) and self.killed.total() < (self.plan.most or math.inf):
            (strike,) = self._random.choices(STRIKES, weights=weights)
            try:
                hit = strike.hit(self.campaign.sandbox, self._random)
            except (SandboxError, subprocess.TimeoutExpired) as error:
                say(f"{strike.what}: {error}")
                hit = True
            if hit:
                self.killed[strike.what] += 1
                self.last = time.monotonic()

    def stop(self) -> None:
        """No more kills after this."""
        self._enough.set()
        self.join(600)


def run(sandbox: Sandbox, plan: Plan) -> Outcome:
    """Do it, and count.

    Raises:
        SandboxError: The campaign could not be set up, or nothing moved for a quarter of an hour.
    """
    settings = {"HUBLAB_WORKERS": str(WORKERS), "HUBLAB_CONCURRENCY": "2", "HUBLAB_NOTION_LAG_SECONDS": "3"}
    campaign = start(sandbox, speed=60, settings=settings, notion_per_minute=plan.notion_per_minute)
    campaign.standin("notion", "settings", {"lag": 1})
    campaign.standin("notion", "faults", [rule | {"times": None} for rule in NOTION_FAULTS])
    campaign.standin("resend", "faults", [rule | {"times": None} for rule in RESEND_FAULTS])
    began, killer = time.monotonic(), Killer(campaign, plan)
    killer.start()
    try:
        keys = [_enrol(campaign, f"chaos-{int(time.time())}-{number}") for number in range(plan.enrolments)]
        _await_mails(campaign, keys, killer)
    finally:
        killer.stop()
        spoilt = _behave(campaign)
    outcome = settled(campaign, keys, killer.last)
    outcome.seconds, outcome.killed, outcome.spoilt = time.monotonic() - began, dict(killer.killed), spoilt
    return outcome


def _enrol(campaign: Campaign, name: str) -> str:
    """As a sender does who was told nothing else: again until there is a 202; and every tenth once more after it."""
    while True:
        try:
            key = campaign.enrol("signup", address(name))
            return campaign.enrol("signup", address(name)) if key.endswith("0") else key
        except (httpx.TransportError, SandboxError):
            time.sleep(1)


def _await_mails(campaign: Campaign, keys: list[str], killer: Killer) -> None:
    """Until Resend has every mail; a kill more or less does not hold that up for ever."""
    wanted, seen, began = len(keys) * STEPS, -1, time.monotonic()
    moved, known = began, set(keys)
    while seen < wanted:
        time.sleep(_LOOK_EVERY)
        # Of the inbox alone: to ask Prefect about every run would cost as much as some of them.
        accepted = sum(key in known for key, _ in accepted_by_place(campaign.standin("resend")["mails"]))
        if accepted > seen:
            seen, moved = accepted, time.monotonic()
            minutes, kills = (moved - began) / 60, sum(killer.killed.values())
            say(f"{minutes:.1f} min: {accepted} of {wanted} mails accepted, {kills} kills")
        elif time.monotonic() - moved > _STALLED_SECONDS:
            say(f"nothing moved for {_STALLED_SECONDS:.0f} s")
            return


def _behave(campaign: Campaign) -> dict[str, int]:
    """The services behave from now on; how many of their answers were spoilt until now."""
    spoilt = {}
    for service, url in (("notion", campaign.notion_url), ("resend", campaign.inbox_url)):
        spoilt[service] = int(campaign.standin(service, "calls")["spoilt"])
        httpx.delete(f"{url}/_standin/faults", timeout=30, trust_env=False).raise_for_status()
    return spoilt


def settled(campaign: Campaign, keys: list[str], last_fault: float | None = None) -> Outcome:
    """What is still on its way arrives: records, events, runs to be run again; then judge.

    Args:
        campaign: Whose mails.
        keys: The enrolments.
        last_fault: When things were last disturbed, by `time.monotonic`; now, if it is not given.
    """
    since = time.monotonic() if last_fault is None else last_fault
    deadline = max(since + _SETTLED_SECONDS, time.monotonic() + _LOOK_EVERY)
    while True:
        outcome = judge(campaign.mails(keys), keys, _records(campaign), _analytics(campaign))
        if outcome.clean or outcome.doubled or time.monotonic() > deadline:
            return outcome
        time.sleep(_LOOK_EVERY)


def _records(campaign: Campaign) -> list[dict[str, Any]]:
    pages: list[dict[str, Any]] = campaign.standin("notion")["pages"]["notion-email-sequence-db-id"]
    return pages


def _analytics(campaign: Campaign) -> list[dict[str, Any]]:
    pages: list[dict[str, Any]] = campaign.standin("notion")["pages"]["notion-email-analytics-db-id"]
    return pages
