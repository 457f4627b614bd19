"""The page as a process of the sandbox: it ends with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox import answering
from sandbox.cgroup import Cgroup

if TYPE_CHECKING:
    from sandbox.campaign.core import Campaign


def start(campaign: Campaign) -> str:
    """Serve the page on the sandbox's network, before the campaign's webhooks; its address. One that runs is replaced.

    Raises:
        SandboxError: It did not start.
    """
    layout = campaign.sandbox.layout
    webhook = f"{campaign.webhooks_url}/webhook/christmas-signup"
    return answering.start(
        Cgroup(f"{layout.cgroup}/funnel"),
        ["sandbox.funnel", "--webhook", webhook, "--address", str(layout.operator_address)],
        answer=layout.root / "funnel.url",
        log=layout.logs / "funnel.log",
        environment={"WEBHOOK_SECRET": campaign.environment["WEBHOOK_SECRET"]},
    )
