"""How one host or application stands, in words. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING

from deploy.onhost.common import counted
from deploy.table import first
from deploy.words import last_failure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from deploy.coolify.state import ApplicationState
    from deploy.onhost.left_runs import LeftRun
    from deploy.onhost.record import Line
    from deploy.state import HostState

MOST_NAMED = 5
UNTOLD = "Prefect's server did not say what is due -> is it up? ./hublab plan says how it answers the host"
LATE = "wait, where every worker is busy, or raise HUBLAB_CONCURRENCY or HUBLAB_WORKERS"


@dataclass(frozen=True)
class Status:
    """One host in words: `drift` is what a deploy would do, `trouble` what a deploy would not cure.

    `online`: those of its workers that Prefect's server hears; `in_flight`: their flow runs, None where nobody can say;
    `deployed`: the audit's last line.
    `warnings`: what is as planned, and not as it should be. `pool`: which one its workers poll, where they poll any;
    `others`: the workers ONLINE there that are not this host's.
    """

    host: str
    release: str = "none"
    workers: tuple[tuple[str, str], ...] = ()
    due: int | None = None
    late: int | None = None
    last: str = "never deployed"
    lock: str = ""
    drift: tuple[str, ...] = ()
    trouble: tuple[str, ...] = ()
    online: tuple[str, ...] = ()
    in_flight: int | None = 0
    deployed: Line | None = None
    address: str = ""
    reachable: bool = True
    warnings: tuple[str, ...] = ()
    pool: str = ""
    others: tuple[str, ...] = ()

    @property
    def as_planned(self) -> bool:
        """Whether nobody has to do anything here."""
        return not (self.drift or self.trouble)


def left_words(left: Sequence[LeftRun]) -> list[str]:
    """Flow runs that are lost, stuck or given up: how many, which, and what has them run again. Pure."""
    lines = []
    for problem, runs in groupby(sorted(left, key=attrgetter("problem")), key=attrgetter("problem")):
        found = list(runs)
        named = first([f"{run.name} ({run.id})" for run in found], MOST_NAMED)
        ids = " ".join(run.id for run in found[:MOST_NAMED])
        remedy = f"./hublab run-again {ids}" if found[0].again else "a worker that is ONLINE sees to it"
        lines.append(f"{counted(len(found), 'flow run is', 'flow runs are')} {problem}: {named} -> {remedy}")
    return lines


def late_words(late: int) -> str:
    """That flow runs of a pool are late. Pure."""
    return f"{counted(late, 'flow run is', 'flow runs are')} late -> {LATE}"


def last_deploy(state: HostState | ApplicationState) -> str:
    """The last deploy, in words."""
    if not state.deploys:
        return "never deployed"
    if failure := last_failure(state):
        return f"FAILED: {failure}"
    last = state.deploys[-1]
    return f"{last.what} of release {last.to} by {last.who} at {last.at}: {last.result}"
