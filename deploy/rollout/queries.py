"""What the programs on a host are asked, for each step of a rollout. Pure."""

from __future__ import annotations

import base64
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

if TYPE_CHECKING:
    from deploy.planned import Plan, WorkerStep
    from deploy.rollout.machine import Outcome


def legacy(wanted: spec.WorkerHost, plan: Plan, phase: str) -> LegacyWorkers:
    """To hold them, to let them go, or to retire them."""
    return LegacyWorkers(
        phase=phase,
        legacy=plan.legacy,
        legacy_units=tuple(unit.name for unit in plan.legacy_units if unit not in plan.in_the_way),
        in_the_way=plan.in_the_way,
        holder=base64.b64encode(remote.program(Hold()).encode()).decode() if phase == "freeze" else "",
        pool=wanted.work_pool,
        drain_seconds=wanted.drain_seconds,
        access=wanted.api_access(),
    )


def put_secrets(wanted: spec.WorkerHost, plan: Plan) -> PutSecrets:
    """Those that the plan names."""
    content = wanted.secret_files()
    return PutSecrets(content={path: content[path] for path in plan.secrets})


def roll(wanted: spec.WorkerHost, plan: Plan, step: WorkerStep) -> RollWorker:
    """One worker; where its unit's name is somebody else's, with what is ended before."""
    name = spec.unit_name(step.number)
    there = tuple(item for item in plan.legacy if item.unit == name)
    taken = any(unit.name == name for unit in plan.in_the_way)
    room = Room(wanted.drain_seconds, there) if taken else None
    return RollWorker(gate_seconds=wanted.gate_seconds, unit=name, text=step.unit, worker=step.name, room=room)


def webhooks(wanted: spec.WorkerHost, plan: Plan) -> RollWebhooks:
    """The webhooks, after the workers; no text: they are to go."""
    step = plan.webhooks
    return RollWebhooks(
        gate_seconds=wanted.gate_seconds,
        unit=spec.WEBHOOKS_UNIT,
        secrets=spec.WEBHOOK_SECRETS,
        text=step.unit if step else "",
    )


def back(wanted: spec.WorkerHost) -> RollBack:
    """Whatever was moved."""
    return RollBack(gate_seconds=wanted.gate_seconds)


def canary(wanted: spec.WorkerHost, step: WorkerStep) -> WatchCanary:
    """The first worker of all."""
    return WatchCanary(
        unit=spec.unit_name(step.number),
        worker=step.name,
        pool=wanted.work_pool,
        seconds=wanted.canary_seconds,
        access=wanted.api_access(),
    )


def automations(wanted: spec.WorkerHost, plan: Plan) -> RemoveAutomations:
    """Those that the plan names."""
    return RemoveAutomations(automations=plan.automations, access=wanted.api_access())


def finish(wanted: spec.WorkerHost, plan: Plan, outcome: Outcome, operator: str, what: str) -> FinishHost:
    """The end; after a failure it writes the line of the record and nothing else."""
    webhooks = (spec.WEBHOOKS_UNIT,) if plan.webhooks else ()
    return FinishHost(
        kept=(*(spec.unit_name(step.number) for step in plan.workers), *webhooks),
        ended=outcome.ok,
        surplus=tuple(spec.unit_name(number) for number in plan.surplus) if outcome.ok else (),
        drain_seconds=wanted.drain_seconds,
        switch=plan.switch and outcome.ok,
        release=plan.release,
        previous=plan.previous,
        prune=plan.prune if outcome.ok else (),
        audit=outcome.line(plan, operator, what),
    )
