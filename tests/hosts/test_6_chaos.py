"""A twentieth of `make chaos`: ten signups of seven mails, twenty strikes ten seconds apart, bad services."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sandbox.campaign import chaos

if TYPE_CHECKING:
    from sandbox import Sandbox


# A deploy first: what the host's past serves where the webhooks shall be is retired by it.
@pytest.mark.timeout(3600)
@pytest.mark.usefixtures("deployed")
def test_nothing_is_lost_and_nothing_is_doubled(sandbox: Sandbox) -> None:
    outcome = chaos.run(sandbox, chaos.Plan(10, every=10, most=20))
    assert outcome.clean, outcome.text()
    assert outcome.accepted == 70
    assert 5 <= sum(outcome.killed.values()) <= 20, outcome.text()
    assert all(outcome.spoilt.values()), outcome.text()
