"""The webhooks' part of a rollout on one host, after its workers. Knows no pyinfra."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from deploy import spec

if TYPE_CHECKING:
    from deploy.rollout.conductor import Machine, Outcome


def roll(machine: Machine, outcome: Outcome) -> None:
    """Brings the webhooks to the plan; a failed gate is the outcome's reason, and they are put back by then."""
    plan = machine.plan
    if not outcome.ok or not plan.moves_webhooks:
        return
    if not machine.run("roll_webhooks", query(machine), detached=True):
        outcome.ok, outcome.reason = False, "the webhooks failed their gate"
    elif plan.webhooks:
        outcome.done.append(plan.webhooks.name)


def query(machine: Machine) -> dict[str, Any]:
    """What `roll_webhooks.py` is asked; no text: they are to go."""
    step = machine.plan.webhooks
    return {
        "unit": spec.WEBHOOKS_UNIT,
        "units": spec.UNITS,
        "secrets": spec.WEBHOOK_SECRETS,
        "text": step.unit if step else "",
        "gate_seconds": machine.wanted.gate_seconds,
    }
