"""Many enrolments in a storm: what runs is killed and cut off, services misbehave, people leave; then the count.

Nothing may be lost, nothing doubled, nothing sent to who has left. The strikes end with the last mail, or when there
were as many as were asked for. Ten minutes later everything must be right by itself.
"""

from __future__ import annotations

import math
import random
import subprocess
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import httpx

from sandbox.campaign.aftermath import settled
from sandbox.campaign.contacts import address
from sandbox.campaign.leaving import Leavers
from sandbox.campaign.mails import accepted_by_place
from sandbox.campaign.setup import start
from sandbox.campaign.strikes import STRIKES, WORKERS
from sandbox.errors import SandboxError
from sandbox.shell import say

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox.campaign.core import Campaign
    from sandbox.campaign.strikes import Strike
    from sandbox.campaign.verdict import Outcome
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
_LEAVE_SECONDS = 300.0
_TWICE, _LEAVES = 10, 7  # every so manieth contact posts twice, unsubscribes


@dataclass(frozen=True)
class Plan:
    """How many signups of seven mails; seconds between two strikes; what the dice start from; Notion's limit.

    `most` bounds the strikes, however slow the machine; 0 for no bound. `first` names those that come first, in order;
    the dice choose what follows. `longest`: how many seconds the network or the database is away at the most.
    """

    enrolments: int
    every: float = 5.0
    seed: int = 0
    notion_per_minute: int = 180
    most: int = 0
    first: tuple[str, ...] = ()
    longest: float = 120.0


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
        for strike in self._chosen():
            if self._enough.wait(self.plan.every) or self.killed.total() >= (self.plan.most or math.inf):
                return
            try:
                hit = strike.hit(self.campaign.sandbox, self._random, self.plan.longest)
            except (SandboxError, subprocess.TimeoutExpired) as error:
                say(f"{strike.what}: {error}")
                hit = True
            if hit:
                self.killed[strike.what] += 1
                self.last = time.monotonic()

    def _chosen(self) -> Iterator[Strike]:
        yield from (STRIKES[what] for what in self.plan.first)
        strikes = list(STRIKES.values())
        while True:
            yield from self._random.choices(strikes, weights=[strike.weight for strike in strikes])

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
    began, killer, leavers = time.monotonic(), Killer(campaign, plan), Leavers(campaign)
    killer.start()
    try:
        keys = [_enrol(campaign, leavers, number) for number in range(plan.enrolments)]
        _await_mails(campaign, keys, killer, leavers)
    finally:
        killer.stop()
        spoilt = _behave(campaign)
    leavers.all(_LEAVE_SECONDS)
    outcome = settled(campaign, keys, killer.last, leavers)
    outcome.seconds, outcome.killed, outcome.spoilt = time.monotonic() - began, dict(killer.killed), spoilt
    return outcome


def _enrol(campaign: Campaign, leavers: Leavers, number: int) -> str:
    """As a sender does who was told nothing else: again until there is a 202; and every tenth once more after it."""
    email = address(f"chaos-{int(time.time())}-{number}")
    times = 2 if number % _TWICE == _TWICE - 1 else 1
    while times:
        try:
            key = campaign.enrol("signup", email)
            times -= 1
        except (httpx.TransportError, SandboxError):
            time.sleep(1)
    if number % _LEAVES == _LEAVES - 1:
        leavers.wanted[email] = key
    return key


def _await_mails(campaign: Campaign, keys: list[str], killer: Killer, leavers: Leavers) -> None:
    """Until Resend has every mail; a strike more or less does not hold that up for ever. Meanwhile some leave."""
    seen, began, dice = -1, time.monotonic(), random.Random(killer.plan.seed)  # noqa: S311 - repeatable
    moved = began
    while True:
        time.sleep(_LOOK_EVERY)
        leavers.some(dice)
        known = set(keys) - leavers.keys
        # Of the inbox alone: to ask Prefect about every run would cost as much as some of them.
        accepted = sum(key in known for key, _ in accepted_by_place(campaign.standin("resend")["mails"]))
        if accepted != seen:
            seen, moved = accepted, time.monotonic()
            minutes, kills = (moved - began) / 60, sum(killer.killed.values())
            say(f"{minutes:.1f} min: {accepted} of {len(known) * STEPS} mails accepted, {kills} strikes")
        elif time.monotonic() - moved > _STALLED_SECONDS:
            say(f"nothing moved for {_STALLED_SECONDS:.0f} s")
            return
        if accepted == len(known) * STEPS:
            return


def _behave(campaign: Campaign) -> dict[str, int]:
    """The services behave from now on; how many of their answers were spoilt until now."""
    spoilt = {}
    for service, url in (("notion", campaign.notion_url), ("resend", campaign.inbox_url)):
        spoilt[service] = int(campaign.standin(service, "calls")["spoilt"])
        httpx.delete(f"{url}/_standin/faults", timeout=30, trust_env=False).raise_for_status()
    return spoilt
