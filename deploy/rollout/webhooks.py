"""The webhooks' part of a rollout on one host, after its workers. Knows no pyinfra."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from deploy import spec
from deploy.rollout import queries

if TYPE_CHECKING:
    from deploy.rollout.steps import SshSteps


def query(machine: SshSteps) -> dict[str, Any]:
    """What `roll_webhooks.py` is asked; no text: they are to go."""
    step = machine.plan.webhooks
    return {
        **queries.move(machine.wanted),
        "unit": spec.WEBHOOKS_UNIT,
        "secrets": spec.WEBHOOK_SECRETS,
        "text": step.unit if step else "",
    }
