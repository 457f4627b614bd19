"""The order of a rollout, and what happens when a gate fails: all that was moved goes back. Knows no pyinfra."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deploy.rollout import queries, webhooks
from deploy.rollout.machine import Outcome, one_by_one
from deploy.rollout.waves import waves

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from deploy.plan import WorkerStep
    from deploy.rollout.machine import Machine, Together


class Conductor:
    """One rollout over all hosts."""

    def __init__(self, machines: Sequence[Machine], operator: str, what: str, together: Together) -> None:
        self.machines, self.operator, self.what, self.together = machines, operator, what, together
        self.outcomes = {machine.wanted.address: Outcome() for machine in machines}
        self.busy = [machine for machine in machines if machine.plan.activates]
        # Legacy workers poll every queue of the pool: they would take the probe runs and crash them. They stop first.
        self.frozen = [machine for machine in self.busy if machine.plan.legacy]
        self.culprit: Machine | None = None

    def of(self, machine: Machine) -> Outcome:
        """The outcome of one host."""
        return self.outcomes[machine.wanted.address]

    def fail(self, machine: Machine, what: str, how: str) -> None:
        """A host failed at something: the rollout goes no further. Where it was in no state to do it, that is why."""
        self.of(machine).fail(f"{what}: {machine.trouble}" if machine.trouble else f"{what} {how}")
        self.culprit = self.culprit or machine

    def each(self, work: Callable[[Machine], None], machines: Sequence[Machine]) -> None:
        """One thing with each host; a fault of ours is a failure of that host, so that the others are still seen to."""

        def guarded(machine: Machine) -> None:
            try:
                work(machine)
            except Exception as error:  # noqa: BLE001 - whatever it is, what was moved must go back
                self.of(machine).reached = True
                self.of(machine).fail(f"an error of the deploy itself: {type(error).__name__}: {error}")
                self.culprit = self.culprit or machine

        if machines:
            self.together(guarded, machines)

    def hold_legacy(self, machine: Machine) -> None:
        """Stops the polling of a host's legacy workers, or the rollout before it begins."""
        if self.culprit is None and not self.legacy(machine, "freeze"):
            self.of(machine).reached = True
            self.fail(machine, "its legacy workers", "could not be held")

    def thaw(self, machine: Machine) -> None:
        """Lets a host's legacy workers poll again."""
        self.legacy(machine, "thaw")

    def legacy(self, machine: Machine, phase: str) -> bool:
        """One phase of what happens to legacy workers."""
        query = queries.legacy(machine.wanted, machine.plan, phase)
        return machine.run("legacy.workers", query, detached=phase == "retire")

    def move(self, machine: Machine) -> None:
        """The workers of one host, one by one; stops as soon as the rollout has failed anywhere."""
        outcome = self.of(machine)
        if machine.plan.secrets and not self.put_secrets(machine):
            return
        for step in machine.plan.restarts:
            if self.culprit is not None:
                return
            outcome.reached = True
            query = queries.roll(machine.wanted, machine.plan, step)
            if not machine.run("roll_worker", query, detached=True):
                self.fail(machine, step.name, "failed its gate")
                return
            outcome.gates += 1
            outcome.done.append(step.name)
            if not self.watch(machine, step):
                self.fail(machine, step.name, "failed as the canary")
                return
        outcome.reached = True
        if machine.plan.restarts_webhooks:
            self.move_webhooks(machine)

    def put_secrets(self, machine: Machine) -> bool:
        """The credential, just before the first worker that needs it: a host that is not reached keeps its own."""
        if self.culprit is not None:
            return False
        self.of(machine).reached = True
        done = machine.run("put_secrets", queries.put_secrets(machine.wanted, machine.plan), detached=True)
        if not done:
            self.fail(machine, "its credential", "could not be written")
        return done

    def move_webhooks(self, machine: Machine) -> None:
        """The webhooks of one host, after its workers; removed they are only when all hosts have passed."""
        if machine.run("roll_webhooks", webhooks.query(machine), detached=True):
            self.of(machine).done.append("webhooks")
        else:
            self.fail(machine, "the webhooks", "failed their gate")

    def watch(self, machine: Machine, step: WorkerStep) -> bool:
        """Lets the first worker of all serve alone for a while, and looks at how its runs end."""
        first = machine is self.busy[0] and self.of(machine).gates == 1
        if not first or not machine.wanted.canary_seconds:
            return True
        return machine.run("watch_canary", queries.canary(machine.wanted, step))

    def commit(self, machine: Machine) -> None:
        """Every worker everywhere has passed: what is not wanted any more goes, the release becomes that of record."""
        if machine.plan.webhooks_surplus and not machine.run("roll_webhooks", webhooks.query(machine), detached=True):
            self.fail(machine, "the webhooks", "could not be removed")
        if (machine.plan.legacy or machine.plan.legacy_units) and not self.legacy(machine, "retire"):
            self.fail(machine, "its legacy workers", "could not be retired")
        self.of(machine).ended = self.finish(machine)
        if not self.of(machine).ended and self.of(machine).ok:
            self.fail(machine, "the last step", "failed")

    def remove_automations(self, machine: Machine) -> None:
        """The server is one for all hosts: one that saw them removes them, another where that one dies."""
        asking = [item for item in self.busy if item.plan.automations]
        if not any(item.run("remove_automations", queries.automations(item.wanted, item.plan)) for item in asking):
            self.fail(machine, "the automations", "could not be removed")

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
        if machine.plan.restarts or machine.plan.restarts_webhooks or machine.plan.secrets:
            query = queries.back(machine)
            done = machine.run("roll_back", query, detached=True)
            if not done and machine.trouble:  # over a new connection, when what the broken one had begun has ended
                done = machine.run("roll_back", query, detached=True)
            why = f" ({machine.trouble})" if machine.trouble else ""
            self.of(machine).fail("rolled back" if done else f"NOT all of it could be rolled back{why}")
        self.finish(machine)

    def run(self, most: int = 0) -> None:
        """All of it, in waves of at most so many hosts; 0 for no bound."""
        self.each(self.hold_legacy, self.frozen)
        moved = self.culprit is None
        for wave in waves(self.busy, most):
            if self.culprit is None:
                self.each(self.move, wave)
        if self.culprit is None:
            self.each(self.remove_automations, [machine for machine in self.busy if machine.plan.automations][:1])
            self.each(self.commit, self.busy)
        elif moved:
            self.each(self.undo, self.to_undo(self.culprit))
        else:
            for machine in self.busy:
                if self.of(machine).ok:
                    self.of(machine).fail(f"not started: the rollout stopped at {self.culprit.wanted.address}")
        self.each(self.thaw, [machine for machine in self.frozen if not self.of(machine).ok])


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
    rollout = Conductor(machines, operator, what, together)
    rollout.run(most)
    return rollout.outcomes
