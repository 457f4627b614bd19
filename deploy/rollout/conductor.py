"""The order of a rollout, and what happens when a gate fails: all that was moved goes back. Knows no pyinfra."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from deploy.rollout import queries, webhooks
from deploy.rollout.waves import waves

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from deploy import spec
    from deploy.plan import Plan, WorkerStep
    from deploy.state import HostState


class Machine(Protocol):
    """A host that the conductor can speak to."""

    wanted: spec.WorkerHost
    plan: Plan
    state: HostState

    def run(self, program: str, query: dict[str, Any], *, detached: bool = False) -> bool:
        """Runs an on-host program; False when it failed, having said why."""

    def say(self, text: str) -> None:
        """One line to the operator."""


@dataclass
class Outcome:
    """How the rollout went on one host."""

    ok: bool = True
    reached: bool = False
    gates: int = 0
    reason: str = ""
    done: list[str] = field(default_factory=list)

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


class Conductor:
    """One rollout over all hosts."""

    def __init__(self, machines: Sequence[Machine], operator: str, what: str) -> None:
        self.machines, self.operator, self.what = machines, operator, what
        self.outcomes = {machine.wanted.address: Outcome() for machine in machines}
        self.busy = [machine for machine in machines if machine.plan.activates]
        # Legacy workers poll every queue of the pool: they would take the probe runs and crash them. They stop first.
        self.frozen = [machine for machine in self.busy if machine.plan.legacy]
        self.culprit: Machine | None = None

    def of(self, machine: Machine) -> Outcome:
        """The outcome of one host."""
        return self.outcomes[machine.wanted.address]

    def fail(self, machine: Machine, reason: str) -> None:
        """A host failed: the rollout goes no further."""
        self.of(machine).fail(reason)
        self.culprit = self.culprit or machine

    def hold_legacy(self) -> None:
        """Stops the polling of all legacy workers, or the rollout before it begins."""
        for machine in self.frozen:
            if not self.legacy(machine, "freeze"):
                self.of(machine).reached = True
                self.fail(machine, "its legacy workers could not be held")
                return

    def legacy(self, machine: Machine, phase: str) -> bool:
        """One phase of what happens to legacy workers."""
        query = queries.legacy(machine.wanted, machine.plan, phase)
        return machine.run("legacy.workers", query, detached=phase == "retire")

    def move(self, machine: Machine) -> None:
        """The workers of one host, one by one; stops as soon as the rollout has failed anywhere."""
        outcome = self.of(machine)
        for step in machine.plan.restarts:
            if self.culprit is not None:
                return
            outcome.reached = True
            query = queries.roll(machine.wanted, machine.plan, step)
            if not machine.run("roll_worker", query, detached=True):
                self.fail(machine, f"{step.name} failed its gate")
                return
            outcome.gates += 1
            outcome.done.append(step.name)
            if not self.watch(machine, step):
                self.fail(machine, f"{step.name} failed as the canary")
                return
        outcome.reached = True
        if machine.plan.restarts_webhooks:
            self.move_webhooks(machine)

    def move_webhooks(self, machine: Machine) -> None:
        """The webhooks of one host, after its workers; removed they are only when all hosts have passed."""
        if machine.run("roll_webhooks", webhooks.query(machine), detached=True):
            self.of(machine).done.append("webhooks")
        else:
            self.fail(machine, "the webhooks failed their gate")

    def watch(self, machine: Machine, step: WorkerStep) -> bool:
        """Lets the first worker of all serve alone for a while, and looks at how its runs end."""
        first = machine is self.busy[0] and self.of(machine).gates == 1
        if not first or not machine.wanted.canary_seconds:
            return True
        return machine.run("watch_canary", queries.canary(machine.wanted, step))

    def commit(self, machine: Machine) -> None:
        """Every worker everywhere has passed: what is not wanted any more goes, the release becomes that of record."""
        if machine.plan.webhooks_surplus and not machine.run("roll_webhooks", webhooks.query(machine), detached=True):
            self.fail(machine, "the webhooks could not be removed")
        if (machine.plan.legacy or machine.plan.legacy_units) and not self.legacy(machine, "retire"):
            self.fail(machine, "its legacy workers could not be retired")
        if not self.finish(machine) and self.of(machine).ok:
            self.fail(machine, "the last step failed")

    def set_automations(self) -> None:
        """The server is one for all hosts: the first that saw something missing there sets it."""
        for machine in self.busy:
            if machine.plan.automations:
                query = queries.automations(machine.wanted, machine.plan)
                if not machine.run("set_automations", query):
                    self.fail(machine, "the automations could not be set")
                return

    def finish(self, machine: Machine) -> bool:
        """The last step on a host, and its audit line."""
        query = queries.finish(machine, self.of(machine), self.operator, self.what)
        return machine.run("finish_host", query, detached=True)

    def to_undo(self, culprit: Machine) -> list[Machine]:
        """The hosts that were touched, the last first; what was not reached was never touched."""
        for machine in self.busy:
            outcome, where = self.of(machine), culprit.wanted.address
            if not outcome.reached:
                outcome.fail(f"not started: the rollout stopped at {where}")
            elif outcome.ok:
                outcome.fail(f"the rollout failed at {where}")
        return [machine for machine in reversed(self.busy) if self.of(machine).reached]

    def undo(self, machine: Machine) -> None:
        """What was moved on one host goes back."""
        if machine.plan.restarts or machine.plan.restarts_webhooks:
            done = machine.run("roll_back", queries.back(machine), detached=True)
            self.of(machine).fail("rolled back" if done else "NOT all of it could be rolled back")
        self.finish(machine)


def conduct(
    machines: Sequence[Machine],
    operator: str,
    together: Together = one_by_one,
    what: str = "deploy",
    most: int = 0,
) -> dict[str, Outcome]:
    """Brings every host to its plan, in waves; the first failure stops it, and what was moved goes back.

    Args:
        machines: in the inventory's order.
        operator: who deploys, for the audit line.
        together: does one thing with each host of a wave, side by side if it can.
        what: the word for the audit line.
        most: how many hosts a wave has at the most; 0 for no bound.

    Returns:
        The outcome by host address.
    """
    rollout = Conductor(machines, operator, what)
    rollout.hold_legacy()
    moved = rollout.culprit is None
    for wave in waves(rollout.busy, most):
        if rollout.culprit is None:
            together(rollout.move, wave)
    if rollout.culprit is None:
        rollout.set_automations()
        together(rollout.commit, rollout.busy)
    elif moved:
        together(rollout.undo, rollout.to_undo(rollout.culprit))
    else:
        for machine in rollout.busy:
            if rollout.of(machine).ok:
                rollout.of(machine).fail(f"not started: the rollout stopped at {rollout.culprit.wanted.address}")
    for machine in rollout.frozen:
        if not rollout.of(machine).ok:
            rollout.legacy(machine, "thaw")
    return rollout.outcomes
