"""The rollout on a host that SSH reaches: each step asks a program that runs there. Knows no pyinfra."""

from __future__ import annotations

import base64
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from deploy import remote, spec
from deploy.legacy.hold import Hold
from deploy.legacy.workers import LegacyWorkers, Room
from deploy.onhost.finish_host import FinishHost
from deploy.onhost.put_secrets import PutSecrets
from deploy.onhost.remove_automations import RemoveAutomations
from deploy.onhost.roll_back import RollBack
from deploy.onhost.roll_webhooks import RollWebhooks
from deploy.onhost.roll_worker import RollWorker
from deploy.onhost.watch_canary import WatchCanary
from deploy.rollout.machine import Move

if TYPE_CHECKING:
    from deploy.onhost.wire import Query
    from deploy.planned import Plan, WorkerStep
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
        plan = self.plan
        query = LegacyWorkers(
            phase=phase,
            legacy=plan.legacy,
            legacy_units=tuple(unit.name for unit in plan.legacy_units if unit not in plan.in_the_way),
            in_the_way=plan.in_the_way,
            holder=base64.b64encode(remote.program(Hold()).encode()).decode() if phase == "freeze" else "",
            pool=self.wanted.work_pool,
            drain_seconds=self.wanted.drain_seconds,
            access=self.wanted.api_access(),
        )
        return self.run(query, detached=phase == "retire")

    def moves(self) -> list[Move]:
        """The credential just before the first worker that needs it, the webhooks after the last."""
        workers = [Move(step.name, GATE, step.name, gated=True) for step in self.plan.restarts]
        return [CREDENTIAL] * bool(self.plan.secrets) + workers + [WEBHOOKS] * self.plan.restarts_webhooks

    def move(self, what: Move) -> bool:
        """One of them."""
        if what == CREDENTIAL:
            return self._put_secrets()
        if what == WEBHOOKS:
            return self._roll_webhooks()
        step, gate_seconds = self._step(what), self.wanted.gate_seconds
        name = spec.unit_name(step.number)
        query = RollWorker(
            gate_seconds=gate_seconds, unit=name, text=step.unit, worker=step.name, room=self._room(name)
        )
        return self.run(query, detached=True)

    def _step(self, what: Move) -> WorkerStep:
        (step,) = [step for step in self.plan.restarts if step.name == what.name]
        return step

    def _room(self, unit: str) -> Room | None:
        """What is ended before a worker of ours comes, where a unit of others has its name."""
        there = tuple(item for item in self.plan.legacy if item.unit == unit)
        taken = any(item.name == unit for item in self.plan.in_the_way)
        return Room(self.wanted.drain_seconds, there) if taken else None

    def _put_secrets(self) -> bool:
        content = self.wanted.secret_files()
        return self.run(PutSecrets(content={path: content[path] for path in self.plan.secrets}), detached=True)

    def _roll_webhooks(self) -> bool:
        """No text: they are to go."""
        query = RollWebhooks(
            gate_seconds=self.wanted.gate_seconds,
            unit=spec.WEBHOOKS_UNIT,
            secrets=spec.WEBHOOK_SECRETS,
            text=self.plan.webhooks.unit if self.plan.webhooks else "",
        )
        return self.run(query, detached=True)

    def gate(self, what: Move) -> bool:
        """Its runs are compared with those of the others."""
        query = WatchCanary(
            unit=spec.unit_name(self._step(what).number),
            worker=what.name,
            pool=self.wanted.work_pool,
            seconds=self.wanted.canary_seconds,
            access=self.wanted.api_access(),
        )
        return self.run(query)

    def undo(self) -> str:
        """The host itself knows what to put back."""
        if not (self.plan.restarts or self.plan.restarts_webhooks or self.plan.secrets):
            return ""
        query = RollBack(gate_seconds=self.wanted.gate_seconds)
        done = self.run(query, detached=True)
        if not done and self.trouble:  # over a new connection, when what the broken one had begun has ended
            done = self.run(query, detached=True)
        why = f" ({self.trouble})" if self.trouble else ""
        return "rolled back" if done else f"NOT all of it could be rolled back{why}"

    def remove_automations(self) -> bool:
        """By way of this host."""
        return self.run(RemoveAutomations(automations=self.plan.automations, access=self.wanted.api_access()))

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
        plan = self.plan
        webhooks = (spec.WEBHOOKS_UNIT,) if plan.webhooks else ()
        query = FinishHost(
            kept=(*(spec.unit_name(step.number) for step in plan.workers), *webhooks),
            ended=outcome.ok,
            surplus=tuple(spec.unit_name(number) for number in plan.surplus) if outcome.ok else (),
            switch=plan.switch and outcome.ok,
            release=plan.release,
            previous=plan.previous,
            prune=plan.prune if outcome.ok else (),
            audit=outcome.line(plan, operator, what),
        )
        return self.run(query, detached=True)
