"""The order of a rollout, and what happens when a gate fails: all that was moved goes back. Knows no pyinfra."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deploy.rollout.machine import Outcome, one_by_one
from deploy.rollout.waves import waves

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from deploy.rollout.machine import Machine, Move, Together


class Conductor:
    """One rollout over all hosts."""

    def __init__(self, machines: Sequence[Machine], operator: str, what: str, together: Together) -> None:
        self.machines, self.operator, self.what, self.together = machines, operator, what, together
        self.outcomes = {machine.address: Outcome() for machine in machines}
        self.busy = [machine for machine in machines if machine.plan.activates]
        self.held = [machine for machine in self.busy if machine.holds]
        self.culprit: Machine | None = None

    def of(self, machine: Machine) -> Outcome:
        """The outcome of one host."""
        return self.outcomes[machine.address]

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

    def hold(self, machine: Machine) -> None:
        """Stops the polling of a host's legacy workers, or the rollout before it begins."""
        if self.culprit is None and not machine.hold():
            self.of(machine).reached = True
            self.fail(machine, "its legacy workers", "could not be held")

    def move(self, machine: Machine) -> None:
        """What is moved on one host, one by one; stops as soon as the rollout has failed anywhere.

        A host that is not reached keeps everything, its credential included.
        """
        outcome = self.of(machine)
        for what in machine.moves():
            if self.culprit is not None:
                return
            outcome.reached = True
            if not machine.move(what):
                self.fail(machine, what.name, what.fault)
                return
            outcome.gates += what.gated
            outcome.done += filter(None, [what.record])
            if what.gated and not self.watch(machine, what):
                self.fail(machine, what.name, "failed as the canary")
                return
        outcome.reached = True

    def watch(self, machine: Machine, what: Move) -> bool:
        """Lets the first worker of all serve alone for a while."""
        first = machine is self.busy[0] and self.of(machine).gates == 1
        return not (first and machine.canary_seconds) or machine.gate(what)

    def commit(self, machine: Machine) -> None:
        """Every worker everywhere has passed: what is not wanted any more goes, the release becomes that of record."""
        for what, how in machine.commit():
            self.fail(machine, what, how)
        self.of(machine).ended = self.close(machine)
        if not self.of(machine).ended and self.of(machine).ok:
            self.fail(machine, "the last step", "failed")

    def remove_automations(self, machine: Machine) -> None:
        """The server is one for all hosts: one that saw them removes them, another where that one dies."""
        if not any(item.remove_automations() for item in self.busy if item.plan.automations):
            self.fail(machine, "the automations", "could not be removed")

    def close(self, machine: Machine) -> bool:
        """The last step on a host, and its line in the record."""
        return machine.close(self.of(machine), self.operator, self.what)

    def to_undo(self, culprit: Machine) -> list[Machine]:
        """The hosts that were touched, the last first; what was not reached was never touched."""
        for machine in self.busy:
            outcome, where = self.of(machine), culprit.address
            if not outcome.reached:
                outcome.fail(f"not started: the rollout stopped at {where}")
            elif outcome.ok:
                outcome.fail(f"the rollout failed at {where}")
        return [machine for machine in reversed(self.busy) if self.of(machine).reached]

    def undo(self, machine: Machine) -> None:
        """What was moved on one host goes back."""
        if words := machine.undo():
            self.of(machine).fail(words)
        self.close(machine)

    def run(self, most: int = 0) -> None:
        """All of it, in waves of at most so many hosts; 0 for no bound."""
        self.each(self.hold, self.held)
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
                    self.of(machine).fail(f"not started: the rollout stopped at {self.culprit.address}")
        self.each(let_go, [machine for machine in self.held if not self.of(machine).ok])


def let_go(machine: Machine) -> None:
    """Lets a host's legacy workers poll again."""
    machine.let_go()


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
