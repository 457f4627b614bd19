"""Lets one worker serve on the new release for a while and compares how its flow runs end with those of the others."""

from __future__ import annotations

import datetime
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from deploy.onhost.common import ask, counted, say
from deploy.onhost.prefect_api import Access, Event, FlowRun, events, flow_runs, server_now
from deploy.onhost.wire import Query

if TYPE_CHECKING:
    from collections.abc import Callable

LOOK_SECONDS = 5.0
ENDED = ["COMPLETED", "FAILED", "CRASHED"]
WORSE = 2.0
PROBE = "hublab-probe"
CLAIM = "prefect.worker.submitted-flow-run"
CRASHED = ["prefect.flow-run.Crashed", "prefect.flow-run.Lost"]
# How far back claims are looked for, and how late an event may reach the server.
CLAIMED_BEFORE, LATE = datetime.timedelta(minutes=15), datetime.timedelta(seconds=30)


@dataclass(frozen=True, kw_only=True)
class WatchCanary(Query):
    """A worker that serves alone on the new release, and for how many seconds; `unit` is empty off a host."""

    looks: ClassVar[bool] = True
    unit: str = ""
    worker: str
    pool: str
    seconds: float
    access: Access


@dataclass
class Tally:
    """How flow runs ended. The gate's own are not counted."""

    ended: int = 0
    failed: int = 0
    crashed: int = 0

    @property
    def rate(self) -> float:
        """The share that did not complete."""
        return (self.failed + self.crashed) / self.ended if self.ended else 0.0

    def add(self, state: str) -> None:
        """One more run."""
        self.ended += 1
        self.failed += state == "FAILED"
        self.crashed += state == "CRASHED"


@dataclass
class Crashes:
    """Which worker had which flow run crash, by the server's events.

    A run that may be run again is scheduled anew as soon as it crashes, and then belongs to the worker that takes it:
    what it is now says nothing of that. So each crash is attributed to the worker that had last claimed the run.
    """

    began: datetime.datetime
    claims: dict[str, str] = field(default_factory=dict)
    seen: set[str] = field(default_factory=set)
    found: set[tuple[str, str]] = field(default_factory=set)

    def add(self, happened: list[Event]) -> None:
        """Events, oldest first; one that was added before changes nothing. Pure."""
        for event in happened:
            if event.id not in self.seen:
                self.seen.add(event.id)
                (self._claimed if event.name == CLAIM else self._crashed)(event)

    def _claimed(self, event: Event) -> None:
        self.claims |= {run: event.called for role, run in event.related if role == "flow-run"}

    def _crashed(self, event: Event) -> None:
        run, gate = event.resource, any(what == f"prefect.tag.{PROBE}" for _, what in event.related)
        if run in self.claims and not gate and event.occurred >= self.began:
            self.found.add((self.claims[run], run.removeprefix("prefect.flow-run.")))


def tally(runs: list[FlowRun], crashed: set[tuple[str, str]], canary: str) -> tuple[Tally, Tally]:
    """The canary's runs and those of all other workers, from runs that ended and crashes that were seen. Pure."""
    mine, others = Tally(), Tally()
    ends = {(worker, run, "CRASHED") for worker, run in crashed}
    ends |= {(run.worker, run.id, run.type) for run in runs if run.worker and PROBE not in run.tags}
    for worker, _, state in ends:
        (mine if worker == canary else others).add(state)
    return mine, others


def fault(mine: Tally, others: Tally) -> str:
    """Why the canary must go back, or nothing. Pure.

    A crash is the worker's fault unless the others have them too; a failure may be the flow's, so it takes two, and a
    rate of more than twice the others'.
    """
    ran = counted(mine.ended, "flow run", "flow runs")
    if mine.crashed and not others.crashed:
        return f"{mine.crashed} of its {ran} crashed, none of the others' {others.ended} did"
    if mine.failed + mine.crashed > 1 and mine.rate > WORSE * others.rate:
        return (
            f"{mine.failed + mine.crashed} of its {ran} did not complete ({mine.rate:.0%}), "
            f"of the others' {others.ended} it was {others.rate:.0%}"
        )
    return ""


def process(unit: str) -> str:
    """The process behind a unit and how often it was restarted."""
    return ask("systemctl", "show", "--property=MainPID,NRestarts,ActiveState", unit)


def main(query: WatchCanary) -> int:
    """0: as good as the others. 1: worse, or it restarted. An API that does not answer decides nothing."""
    return watch(query, lambda: process(query.unit))


def watch(query: WatchCanary, alive: Callable[[], str]) -> int:
    """The same for a worker of which `alive` says what changes when it restarts."""
    try:
        began = server_now(query.access)
    except OSError:
        began = datetime.datetime.now(datetime.UTC)
    deadline, before = time.monotonic() + query.seconds, alive()
    say(f"{query.worker}: canary for {query.seconds} s")
    wanted = {"state": {"type": {"any_": ENDED}}, "end_time": {"after_": began.isoformat()}}
    mine, others, crashes, since = Tally(), Tally(), Crashes(began), began - CLAIMED_BEFORE
    while True:
        try:
            now = server_now(query.access)
            crashes.add(events(query.access, [CLAIM, *CRASHED], since.isoformat()))
            since = now - LATE
            mine, others = tally(flow_runs(query.access, query.pool, wanted), crashes.found, query.worker)
        except OSError as error:
            say(f"{query.worker}: the API cannot be asked about the canary ({error})")
        reason = fault(mine, others)
        if alive() != before:
            reason = "it restarted by itself"
        if reason:
            say(f"{query.worker}: FAILED as the canary: {reason}")
            return 1
        if time.monotonic() > deadline:
            break
        time.sleep(min(LOOK_SECONDS, max(deadline - time.monotonic(), 0.1)))
    ran = counted(mine.ended, "run", "runs")
    compared = f"{mine.rate:.0%} of its {ran} failed, {others.rate:.0%} of the others' {others.ended}"
    unjudged = "it stayed up, and had no flow runs to be judged by"
    say(f"{query.worker}: canary passed: {compared if mine.ended else unjudged}")
    return 0
