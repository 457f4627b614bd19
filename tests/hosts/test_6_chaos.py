"""A small `./hublab chaos`: signups of seven mails, bad services, somebody who leaves, the strikes that matter most."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sandbox.campaign import chaos

if TYPE_CHECKING:
    from sandbox import Sandbox

STRIKES = (
    "Prefect's server",
    "worker and its engines",
    "PostgreSQL",
    "the network between host and server",
    "all workers and their engines",
    "Prefect's server",
    "the worker host's power",
)
PLAN = chaos.Plan(8, every=8, most=len(STRIKES), first=STRIKES, longest=20)


# A deploy first: what the host's past serves where the webhooks shall be is retired by it.
@pytest.mark.timeout(3600)
@pytest.mark.usefixtures("deployed")
def test_nothing_is_lost_and_nothing_is_doubled(sandbox: Sandbox) -> None:
    outcome = chaos.run(sandbox, PLAN)
    assert outcome.clean, outcome.text()
    assert outcome.mails == 8 * chaos.STEPS
    assert outcome.left == 1
    assert {"Prefect's server", "PostgreSQL", "the network between host and server"} <= set(outcome.killed)
    assert all(outcome.spoilt.values()), outcome.text()
