"""The rollout on a host that SSH reaches: each step is a program that runs there. Knows no pyinfra."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from deploy.rollout import queries
from deploy.rollout.machine import Move

if TYPE_CHECKING:
    from deploy import spec
    from deploy.onhost.wire import Query
    from deploy.planned import Plan
    from deploy.rollout.machine import Outcome
    from deploy.state import HostState

CREDENTIAL = Move("its credential", "could not be written")
WEBHOOKS = Move("the webhooks", "failed their gate", "webhooks")
GATE = "failed its gate"


class SshSteps(ABC):
    """What `Machine` asks of a host, by programs of `onhost/` and `legacy/`."""

    wanted: spec.WorkerHost
    state: HostState
    plan: Plan
    trouble: str

    @abstractmethod
    def run(self, query: Query, *, detached: bool = False) -> bool:
        """Runs the on-host program that a question is for; False when it failed, having said why."""

    @property
    def address(self) -> str:
        """As in HUBLAB_HOSTS."""
        return self.wanted.address

    @property
    def canary_seconds(self) -> int:
        """How long the first worker of all serves alone."""
        return self.wanted.canary_seconds

    @property
    def holds(self) -> bool:
        """Legacy workers poll every queue of the pool: they would take the probe runs and crash them."""
        return bool(self.plan.legacy)

    def hold(self) -> bool:
        """Stops their polling."""
        return self._legacy("freeze")

    def let_go(self) -> None:
        """They poll again."""
        self._legacy("thaw")

    def _legacy(self, phase: str) -> bool:
        return self.run(queries.legacy(self.wanted, self.plan, phase), detached=phase == "retire")

    def moves(self) -> list[Move]:
        """The credential just before the first worker that needs it, the webhooks after the last."""
        workers = [Move(step.name, GATE, step.name, gated=True) for step in self.plan.restarts]
        return [CREDENTIAL] * bool(self.plan.secrets) + workers + [WEBHOOKS] * self.plan.restarts_webhooks

    def move(self, what: Move) -> bool:
        """One of them."""
        if what == CREDENTIAL:
            return self.run(queries.put_secrets(self.wanted, self.plan), detached=True)
        if what == WEBHOOKS:
            return self._roll_webhooks()
        (step,) = [step for step in self.plan.restarts if step.name == what.name]
        return self.run(queries.roll(self.wanted, self.plan, step), detached=True)

    def _roll_webhooks(self) -> bool:
        return self.run(queries.webhooks(self.wanted, self.plan), detached=True)

    def gate(self, what: Move) -> bool:
        """Its runs are compared with those of the others."""
        (step,) = [step for step in self.plan.restarts if step.name == what.name]
        return self.run(queries.canary(self.wanted, step))

    def undo(self) -> str:
        """The host itself knows what to put back."""
        if not (self.plan.restarts or self.plan.restarts_webhooks or self.plan.secrets):
            return ""
        query = queries.back(self.wanted)
        done = self.run(query, detached=True)
        if not done and self.trouble:  # over a new connection, when what the broken one had begun has ended
            done = self.run(query, detached=True)
        why = f" ({self.trouble})" if self.trouble else ""
        return "rolled back" if done else f"NOT all of it could be rolled back{why}"

    def remove_automations(self) -> bool:
        """By way of this host."""
        return self.run(queries.automations(self.wanted, self.plan))

    def commit(self) -> list[tuple[str, str]]:
        """Webhooks that are not wanted, and legacy workers: they go when all hosts have passed."""
        faults = []
        if self.plan.webhooks_surplus and not self._roll_webhooks():
            faults.append(("the webhooks", "could not be removed"))
        if (self.plan.legacy or self.plan.legacy_units) and not self._legacy("retire"):
            faults.append(("its legacy workers", "could not be retired"))
        return faults

    def close(self, outcome: Outcome, operator: str, what: str) -> bool:
        """The release of record, surplus workers and releases, the audit line; after a failure that line alone."""
        return self.run(queries.finish(self.wanted, self.plan, outcome, operator, what), detached=True)
