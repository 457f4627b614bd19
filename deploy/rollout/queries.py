"""What the programs on a host are asked, for each step of a rollout. Pure."""

from __future__ import annotations

import base64
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from deploy import remote, spec

if TYPE_CHECKING:
    from deploy.plan import Plan, WorkerStep
    from deploy.rollout.machine import Outcome
    from deploy.rollout.steps import SshSteps


def legacy(wanted: spec.WorkerHost, plan: Plan, phase: str) -> dict[str, Any]:
    """For `legacy/workers.py`."""
    return {
        "phase": phase,
        "legacy": [asdict(item) for item in plan.legacy],
        "legacy_units": [unit.name for unit in plan.legacy_units if unit not in plan.in_the_way],
        "in_the_way": [asdict(unit) for unit in plan.in_the_way],
        "holder": base64.b64encode(remote.program("legacy.hold", {}).encode()).decode() if phase == "freeze" else "",
        "pool": wanted.work_pool,
        **_retirement(wanted),
        **wanted.api_access(),
    }


def _retirement(wanted: spec.WorkerHost) -> dict[str, Any]:
    """What the end of a legacy worker needs, whenever it comes."""
    return {"drain_seconds": wanted.drain_seconds, "units": spec.UNITS, "base": spec.BASE, "retired": spec.RETIRED}


def move(wanted: spec.WorkerHost) -> dict[str, Any]:
    """What every move of a unit needs, forth or back; who it is and whom it asks, the unit's own text says."""
    return {
        "units": spec.UNITS,
        "before": spec.BEFORE,
        "files": {path.rpartition("/")[2]: path for path in spec.SECRETS},
        "gate_seconds": wanted.gate_seconds,
    }


def put_secrets(wanted: spec.WorkerHost, plan: Plan) -> dict[str, Any]:
    """For `put_secrets.py`."""
    content = wanted.secret_files()
    return {"before": spec.BEFORE, "content": {path: content[path] for path in plan.secrets}}


def roll(wanted: spec.WorkerHost, plan: Plan, step: WorkerStep) -> dict[str, Any]:
    """For `roll_worker.py`."""
    name = spec.unit_name(step.number)
    query = {**move(wanted), "unit": name, "text": step.unit, "worker": step.name}
    if all(unit.name != name for unit in plan.in_the_way):
        return query
    return query | {
        "room": {**_retirement(wanted), "legacy": [asdict(item) for item in plan.legacy if item.unit == name]}
    }


def back(machine: SshSteps) -> dict[str, Any]:
    """For `roll_back.py`: the host itself knows what to put back."""
    return move(machine.wanted)


def canary(wanted: spec.WorkerHost, step: WorkerStep) -> dict[str, Any]:
    """For `watch_canary.py`."""
    return {
        "unit": spec.unit_name(step.number),
        "worker": step.name,
        "pool": wanted.work_pool,
        "seconds": wanted.canary_seconds,
        "looks": True,
        **wanted.api_access(),
    }


def automations(wanted: spec.WorkerHost, plan: Plan) -> dict[str, Any]:
    """For `remove_automations.py`."""
    return {"automations": list(plan.automations), **wanted.api_access()}


def finish(machine: SshSteps, outcome: Outcome, operator: str, what: str) -> dict[str, Any]:
    """For `finish_host.py`: after a failure it writes the audit line and nothing else."""
    plan = machine.plan
    return {
        "base": spec.BASE,
        "state": spec.STATE,
        "units": spec.UNITS,
        "before": spec.BEFORE,
        "kept_units": spec.KEPT_UNITS,
        "kept": [spec.unit_name(step.number) for step in plan.workers] + [spec.WEBHOOKS_UNIT] * bool(plan.webhooks),
        "ended": outcome.ok,
        "surplus": [spec.unit_name(number) for number in plan.surplus] if outcome.ok else [],
        "drain_seconds": machine.wanted.drain_seconds,
        "switch": plan.switch and outcome.ok,
        "release": plan.release,
        "previous": plan.previous,
        "prune": list(plan.prune) if outcome.ok else [],
        "audit": {
            "who": operator,
            "what": what,
            "from": plan.previous,
            "to": plan.release,
            "workers": outcome.done,
            "result": "ok" if outcome.ok else outcome.reason,
        },
    }
