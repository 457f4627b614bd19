"""One host as the conductor sees it, whatever kind of host it is, and how the rollout went there. Knows no pyinfra."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from deploy.onhost.record import Line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence


@dataclass(frozen=True)
class Move:
    """One thing that a rollout moves on a host, and what is said when that failed.

    `record`: its name in the record; empty: it is not named there. `gated`: a worker, which has passed its gate when
    it was moved.
    """

    name: str
    fault: str
    record: str = ""
    gated: bool = False


class Planned(Protocol):
    """What the conductor needs to know of a plan. `automations`: those to be removed at Prefect's server."""

    @property
    def activates(self) -> bool:
        """Whether anything is touched."""

    @property
    def automations(self) -> tuple[str, ...]:
        """Names."""

    @property
    def previous(self) -> str | None:
        """What is of record now; None where nothing is."""

    @property
    def release(self) -> str:
        """What will be."""


class Machine(Protocol):
    """A kind of host: one that SSH reaches, or an application of Coolify's.

    Each call says to the operator what it does, and False when it did not do it. `trouble` is then why, where the
    reason is not the thing itself: a connection, a lost lock.
    """

    trouble: str

    @property
    def address(self) -> str:
        """As in HUBLAB_HOSTS."""

    @property
    def plan(self) -> Planned:
        """What is to be done."""

    @property
    def canary_seconds(self) -> int:
        """How long the first worker of all serves alone."""

    @property
    def holds(self) -> bool:
        """Whether workers of others have to be held before any gate."""

    def hold(self) -> bool:
        """Keeps workers of others from taking what the gates need."""

    def let_go(self) -> None:
        """Those go on."""

    def moves(self) -> Sequence[Move]:
        """What is moved, in its order."""

    def move(self, what: Move) -> bool:
        """Moves one thing, and a worker through its gate; what it failed at is as it was before."""

    def gate(self, what: Move) -> bool:
        """Lets a worker that was moved serve alone for a while, and looks at how its runs end."""

    def undo(self) -> str:
        """Brings back everything that was moved; what became of that in words, empty where nothing was."""

    def remove_automations(self) -> bool:
        """Removes the plan's from Prefect's server, which is one for all hosts."""

    def commit(self) -> list[tuple[str, str]]:
        """Takes away what is not wanted any more; what could not be, and how that is said."""

    def close(self, outcome: Outcome, operator: str, what: str) -> bool:
        """The last step and its line in the record, however it ended."""


@dataclass
class Outcome:
    """How the rollout went on one host; `ended`: it has, with the release of record and the audit line."""

    ok: bool = True
    ended: bool = False
    reached: bool = False
    gates: int = 0
    reason: str = ""
    done: list[str] = field(default_factory=list)

    @property
    def words(self) -> str:
        """For the table."""
        if self.ok and self.ended:
            return "deployed"
        return f"FAILED: {self.reason or 'interrupted; the next deploy brings it to its end'}"

    def line(self, plan: Planned, operator: str, what: str) -> Line:
        """How it went, for the record; when, and how long it took, is for who writes it down."""
        result = "ok" if self.ok else self.reason
        return Line(operator, what, plan.previous, plan.release, tuple(self.done), result)

    def fail(self, reason: str) -> None:
        """Notes the first reason of a failure, and adds what came of it."""
        self.ok, self.reason = False, f"{self.reason}; {reason}" if self.reason else reason


class Together(Protocol):
    """Does one thing with each host of a wave."""

    def __call__(self, work: Callable[[Machine], None], machines: Iterable[Machine]) -> None:
        """Returns when all are done."""


def one_by_one(work: Callable[[Machine], None], machines: Iterable[Machine]) -> None:
    """The simplest way to go through the hosts of a wave."""
    for machine in machines:
        work(machine)
