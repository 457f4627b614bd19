"""One host as the conductor sees it, and how the rollout went there. Knows no pyinfra."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from deploy import spec
    from deploy.plan import Plan
    from deploy.state import HostState


class Machine(Protocol):
    """A host that the conductor can speak to.

    `trouble`: why the last program did not do its work, where the reason is not its own: a connection, a lost lock.
    """

    wanted: spec.WorkerHost
    plan: Plan
    state: HostState
    trouble: str

    def run(self, program: str, query: dict[str, Any], *, detached: bool = False) -> bool:
        """Runs an on-host program; False when it failed, having said why."""

    def say(self, text: str) -> None:
        """One line to the operator."""


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
