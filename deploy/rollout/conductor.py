"""The order of a rollout: host by host, worker by worker, and what happens when a gate fails. Knows no pyinfra."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from deploy import spec
from deploy.rollout import webhooks

if TYPE_CHECKING:
    from collections.abc import Sequence

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


def credentials(wanted: spec.WorkerHost) -> dict[str, str]:
    """What an on-host program needs to speak to the server; travels on its standard input."""
    return {
        "api_url": wanted.api_url,
        "auth": wanted.auth_string.reveal() if wanted.auth_string else "",
        "key": wanted.api_key.reveal() if wanted.api_key else "",
    }


def conduct(machines: Sequence[Machine], operator: str) -> dict[str, Outcome]:
    """Brings every host to its plan, in order; the first failure stops it, the workers not yet reached serve on.

    Args:
        machines: in the inventory's order.
        operator: who deploys, for the audit line.

    Returns:
        The outcome by host address.
    """
    outcomes = {machine.wanted.address: Outcome() for machine in machines}
    busy = [machine for machine in machines if machine.plan.activates]
    # Legacy workers poll every queue of the pool: they would take the probe runs and crash them. So first they stop.
    frozen = [machine for machine in busy if machine.plan.legacy]
    stopped = next((machine for machine in frozen if not _legacy(machine, "freeze")), None)
    if stopped:
        outcomes[stopped.wanted.address] = Outcome(
            ok=False, reached=True, reason="its legacy workers could not be held"
        )
    for machine in busy:
        outcome = outcomes[machine.wanted.address]
        if stopped is None:
            _one_host(machine, outcome, operator)
            stopped = None if outcome.ok else machine
        elif not outcome.reached:
            outcomes[machine.wanted.address] = Outcome(
                ok=False, reason=f"not started: the rollout stopped at {stopped.wanted.address}"
            )
    if stopped is not None:
        for machine in frozen:
            if not outcomes[machine.wanted.address].ok:
                _legacy(machine, "thaw")
    return outcomes


def _one_host(machine: Machine, outcome: Outcome, operator: str) -> None:
    outcome.reached = True
    for step in machine.plan.restarts:
        if not machine.run("roll_worker", roll_query(machine.wanted, machine.plan, step), detached=True):
            outcome.ok, outcome.reason = False, f"{step.name} failed its gate"
            break
        outcome.gates += 1
        outcome.done.append(step.name)
    webhooks.roll(machine, outcome)
    if outcome.ok and (machine.plan.legacy or machine.plan.legacy_units) and not _legacy(machine, "retire"):
        outcome.ok, outcome.reason = False, "its legacy workers could not be retired"
    finished = machine.run("finish_host", finish_query(machine, outcome, operator), detached=True)
    if outcome.ok and not finished:
        outcome.ok, outcome.reason = False, "the last step failed"


def _legacy(machine: Machine, phase: str) -> bool:
    plan, wanted = machine.plan, machine.wanted
    query = {
        "phase": phase,
        "legacy": [item.__dict__ for item in plan.legacy],
        "legacy_units": list(plan.legacy_units),
        "pool": wanted.work_pool,
        "drain_seconds": wanted.drain_seconds,
        "units": spec.UNITS,
        "retired": f"{spec.STATE}/retired",
        **credentials(wanted),
    }
    return machine.run("legacy_workers", query, detached=phase == "retire")


def roll_query(wanted: spec.WorkerHost, plan: Plan, step: WorkerStep) -> dict[str, Any]:
    """What `roll_worker.py` is asked."""
    return {
        "unit": spec.unit_name(step.number),
        "units": spec.UNITS,
        "text": step.unit,
        "folder": f"{spec.RELEASES}/{plan.release}",
        "worker": step.name,
        "pool": wanted.work_pool,
        "api_url": wanted.api_url,
        "profiles": spec.PROFILES,
        "user": spec.USER,
        "drain_seconds": wanted.drain_seconds,
        "gate_seconds": wanted.gate_seconds,
    }


def finish_query(machine: Machine, outcome: Outcome, operator: str) -> dict[str, Any]:
    """What `finish_host.py` is asked: after a failure it writes the audit line and nothing else."""
    plan = machine.plan
    return {
        "base": spec.BASE,
        "state": spec.STATE,
        "units": spec.UNITS,
        "surplus": [spec.unit_name(number) for number in plan.surplus] if outcome.ok else [],
        "drain_seconds": machine.wanted.drain_seconds,
        "switch": plan.switch and outcome.ok,
        "release": plan.release,
        "previous": plan.previous,
        "prune": list(plan.prune) if outcome.ok else [],
        "audit": {
            "who": operator,
            "what": "deploy",
            "from": plan.previous,
            "to": plan.release,
            "workers": outcome.done,
            "result": "ok" if outcome.ok else outcome.reason,
        },
    }
