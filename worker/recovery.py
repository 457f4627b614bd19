"""What is to be done about a flow run that nobody is running: by its state as it is, never by an event. Pure.

A claim names its owner in the state itself (`Claimed.words`), so that no moment lies between the claim and the owner's
name. A run that runs is its labels' owner's; `worker.reconciler` proves that by the run's history before it acts.

- An owner answers for its own runs, those of a process before it at the same place included: what is neither in its
  hands nor in an engine that lives there has been left behind.
- For runs whose owner has not been heard of at Prefect, and for claims that name no owner, the worker that holds the
  lease (`worker.lease`) answers.
- Whoever is not this project's is left alone, and so is what is paused, suspended or scheduled.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

TAG = "run-again"
"""On a run: to run it a second time does no harm, at any moment."""
AGAIN, LOST, CRASHED, GAVE_UP = "RunAgain", "Lost", "Crashed", "GaveUp"
MOST_TIMES, WITHIN = 10, timedelta(hours=24)
SILENCE_SECONDS = 90.0
"""How old the last heartbeat of a worker is that is gone, by the server's clock."""
UNCLAIMED = timedelta(seconds=20)
"""How old a claim is that names no owner, and leads nowhere: no worker of this project makes such a one."""
FOREIGN = timedelta(seconds=300)
"""The same for a claim of another project's worker that is gone."""
ANYWHERE = "*"
"""The place of a worker of a release that did not say where it is."""
_PID = re.compile("[0-9]{1,9}")  # the kernel's calls take no other number, which whoever may use the API may write
_CLAIMED = re.compile(
    rf"Claimed by worker (?P<worker>[^\s,]+) at (?P<place>\S+), process (?P<process>{_PID.pattern}\.[0-9]+)"
)


@dataclass(frozen=True)
class Owner:
    """A worker at its place; `place` is empty for a worker of another project."""

    worker: str
    place: str

    @property
    def ours(self) -> bool:
        """Whether it is a worker of this project."""
        return bool(self.place)


@dataclass(frozen=True)
class Claimed:
    """A claim: whose it is, and by which process, told by its id and its start (in clock ticks since the boot)."""

    owner: Owner
    process: str

    @property
    def words(self) -> str:
        """The message of the state that claims a run."""
        return f"Claimed by worker {self.owner.worker} at {self.owner.place}, process {self.process}"

    @staticmethod
    def read(state: Mapping[str, Any]) -> Claimed | None:
        """The claim that a state is; None where it names nobody."""
        found = _CLAIMED.match(state.get("message") or "") if state["type"] == "PENDING" else None
        return Claimed(Owner(found["worker"], found["place"]), found["process"]) if found else None


@dataclass(frozen=True)
class Run:
    """A flow run in some state. `since`: by the server's clock. `due`: when it was to begin."""

    id: str
    state_id: str
    type: str
    name: str
    since: datetime
    again: bool = False
    owner: Owner | None = None
    process: str = ""
    pid: int = 0
    due: datetime | None = None

    @staticmethod
    def read(raw: Mapping[str, Any]) -> Run:
        """From the API's JSON."""
        state = raw["state"]
        claim, pid = Claimed.read(state), str(raw.get("infrastructure_pid") or "").rpartition(":")[2]
        return Run(
            id=raw["id"],
            state_id=state["id"],
            type=state["type"],
            name=state["name"],
            since=datetime.fromisoformat(state["timestamp"]),
            again=TAG in raw["tags"],
            owner=claim.owner if claim else _labelled(raw.get("labels") or {}),
            process=claim.process if claim else "",
            pid=int(pid) if _PID.fullmatch(pid) else 0,
            due=datetime.fromisoformat(due) if (due := raw.get("expected_start_time")) else None,
        )


def _labelled(labels: Mapping[str, Any]) -> Owner | None:
    """Whose a run is by its labels, which outlive an owner until the next one sets its own."""
    worker = labels.get("prefect.worker.name")
    if not worker:
        return None
    if "hublab.worker" not in labels and "hublab.release" in labels:
        return Owner(str(worker), ANYWHERE)
    return Owner(str(worker), str(labels.get("hublab.place", "")) if labels.get("hublab.worker") == worker else "")


@dataclass(frozen=True)
class View:
    """What one worker knows when it looks.

    `held`: runs in its hands. `leads`: it holds the lease. `gone`: names of workers that were not heard of for long;
    `known`: names that Prefect has. `alone_since`: when it was the only worker of its name, as nobody had beaten under
    that name for long; None where there was no telling. `now`: by the server's clock.
    """

    me: Owner
    now: datetime
    held: frozenset[str] = frozenset()
    leads: bool = False
    gone: frozenset[str] = frozenset()
    known: frozenset[str] = frozenset()
    alone_since: datetime | None = None

    def is_mine(self, run: Run) -> bool:
        """Whether the run is this worker's, or was its predecessor's: here, or where nobody is any more."""
        if run.owner is None or run.owner.worker != self.me.worker or not run.owner.ours:
            return False
        here = run.owner.place in {self.me.place, ANYWHERE}
        return here or (self.alone_since is not None and run.since < self.alone_since)


Act = Literal["free", "lose", "again", "cancel"]


def decide(run: Run, view: View) -> tuple[Act, str] | None:
    """What to do about the run, and why, in words; None: leave it alone. Whether its process lives is asked after."""
    if run.id in view.held:
        return None
    if run.type == "PENDING":
        return _claimed(run, view)
    if run.type == "CRASHED":
        answers = view.leads or view.is_mine(run)
        due = answers and run.again and run.name in {LOST, CRASHED}
        return ("again", "Lost with its host, or crashed.") if due else None
    if why := _abandoned(run, view):
        if run.type == "RUNNING":
            return "lose", why
        if run.type == "CANCELLING":
            return "cancel", f"Cancelled: {why}"
    return None


def _claimed(run: Run, view: View) -> tuple[Act, str] | None:
    age = view.now - run.since
    if run.process or (run.owner and run.owner.place == ANYWHERE):
        why = _abandoned(run, view)
        return ("free", f"{why} It had not begun.") if why else None
    if not view.leads:
        return None
    # Labels outlive their owner: one of ours would have named itself in its claim.
    if run.owner is None or run.owner.ours:
        return ("free", f"Claimed {age.seconds} s ago by nobody known, and not begun.") if age > UNCLAIMED else None
    if age > FOREIGN and (run.owner.worker in view.gone or run.owner.worker not in view.known):
        return "free", f"Claimed {age.seconds} s ago by worker {run.owner.worker}, which is gone."
    return None


def _abandoned(run: Run, view: View) -> str:
    """Why nobody of ours has the run any more; empty when somebody may."""
    if view.is_mine(run):
        return f"Worker {view.me.worker} has no process of it."
    if view.leads and run.owner and run.owner.ours and run.owner.worker in view.gone:
        return f"Worker {run.owner.worker} is gone."
    return ""


def owner_by(history: Sequence[Mapping[str, Any]]) -> Owner | None:
    """Whose a run is by its last claim, which no label that another attempt left can gainsay."""
    claims = [state for state in history if state["type"] == "PENDING" and state["name"] == "Pending"]
    claim = Claimed.read(max(claims, key=lambda state: datetime.fromisoformat(state["timestamp"]))) if claims else None
    return claim.owner if claim else None


def too_often(history: Sequence[Mapping[str, Any]], now: datetime) -> bool:
    """Whether this is the last time that it may be lost, stuck or crashed within a day."""
    recent = [
        state
        for state in history
        if state["name"] == AGAIN and datetime.fromisoformat(state["timestamp"]) > now - WITHIN
    ]
    return len(recent) >= MOST_TIMES - 1


@dataclass
class Beats:
    """Which workers have not been heard of, by what was seen of them: no clock but one's own decides alone.

    A worker is gone when its last heartbeat is `silence` old by the server's clock, and has not changed between two
    looks that lie `apart` seconds of this host's clock or more from each other, while the API answered all the time.
    """

    silence: float
    apart: float
    seen: dict[str, tuple[str, float]] = field(default_factory=dict)

    def look(self, rows: Mapping[str, str], named: set[str], now: datetime, here: float, answers: float) -> set[str]:
        """The names that are gone.

        Args:
            rows: name → time of the last heartbeat, as Prefect has it.
            named: further names, of workers that have runs.
            now: the server's clock.
            here: `time.monotonic()`.
            answers: for how many seconds the API has answered this worker without a break.
        """
        beats = {**dict.fromkeys(named, ""), **rows}
        before, self.seen = self.seen, {}
        gone = set()
        for name, beat in beats.items():
            last, since = before.get(name, (None, here))
            self.seen[name] = beat, since if last == beat else here
            old = not beat or (now - datetime.fromisoformat(beat)).total_seconds() > self.silence
            if old and answers > self.silence and last == beat and here - since >= self.apart:
                gone.add(name)
        return gone
