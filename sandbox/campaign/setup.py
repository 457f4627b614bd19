"""Setting a campaign up in a sandbox, step by step; each step may be done again."""

from __future__ import annotations

import base64
import json
import os
import secrets
import time
from typing import TYPE_CHECKING

from sandbox import answering
from sandbox.campaign import own
from sandbox.campaign.core import Campaign, answer_file, env_file, group
from sandbox.env_file import read
from sandbox.errors import SandboxError
from sandbox.files import write_whole
from sandbox.operator import Operator
from sandbox.shell import step

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sandbox.core import Sandbox

PORT = 8080
OWN_FILES = "HUBLAB_CAMPAIGNS"
"""Kept in the campaign's `.env`, so that what is typed later compares the hosts with the same release."""
_DEPLOY_SECONDS = 1800.0
_PREFLIGHT_TRIES = 6


def start(
    sandbox: Sandbox, *, speed: float = 1.0, settings: Mapping[str, str] | None = None, notion_per_minute: int = 180
) -> Campaign:
    """Set a campaign up in a sandbox that is up, and return it; one that is there is gone on with.

    Args and errors: as `prepare` and `establish`.
    """
    campaign = prepare(sandbox, speed=speed, settings=settings, notion_per_minute=notion_per_minute)
    establish(campaign)
    return campaign


def prepare(
    sandbox: Sandbox, *, speed: float = 1.0, settings: Mapping[str, str] | None = None, notion_per_minute: int = 180
) -> Campaign:
    """Start the stand-ins; nothing is written or deployed yet.

    Args:
        sandbox: Where; its first host gets the webhooks, all get workers.
        speed: How many times faster than in testing mode (a minute apart) the mails follow each other.
        settings: Keys of `.env` that are to differ, the deploy's (HUBLAB_WORKERS) or the campaign's.
        notion_per_minute: The limit that the stand-in for Notion enforces, and the campaign keeps to.

    Raises:
        SandboxError: The stand-ins did not start, or `speed` is no speed.
    """
    if speed <= 0:
        raise SandboxError(f"--speed: {speed} is not above 0")
    files = {OWN_FILES: os.environ[OWN_FILES]} if os.environ.get(OWN_FILES) else {}
    known = _environment(sandbox, notion_per_minute)
    return Campaign(sandbox, known | _pace(speed) | files | dict(settings or {}))


def write(campaign: Campaign) -> None:
    """Write the campaign's `.env`."""
    lines = "".join(f"{key}={value}\n" for key, value in campaign.environment.items())
    write_whole(campaign.env_file, lines, mode=0o600)


def establish(campaign: Campaign) -> None:
    """Do what the operator does to have it run, with the code of the campaign's checkout.

    Raises:
        SandboxError: A step failed; says which and how.
    """
    write(campaign)
    with step("Secret blocks and settings at Prefect"):
        campaign.command("flows.operator.secret_blocks", "--env", str(campaign.env_file))
    with step("workers and webhooks deployed"):
        deploy(campaign)
    with step("deployments and limits at Prefect"):
        campaign.command("flows.operator.register")
    with step("the project's own properties in Notion"):
        campaign.command("flows.operator.notion_setup")
    with step("templates that are nowhere yet"):
        own.furnish(campaign.environment)
    tell_resend(campaign)
    with step("preflight"):
        _preflight(campaign)


def tell_resend(campaign: Campaign) -> None:
    """What the operator enters at Resend: where it tells of its events, and with which secret."""
    webhook = {
        "url": f"{campaign.webhooks_url}/webhook/resend",
        "secret": campaign.environment["RESEND_WEBHOOK_SECRET"],
    }
    campaign.standin("resend", "settings", {"webhook": webhook})


def deploy(campaign: Campaign) -> None:
    """What `./hublab deploy` does, with the campaign's `.env`.

    Raises:
        SandboxError: It failed; its last lines are in the error.
    """
    operator = Operator(campaign.env_file, read(campaign.env_file), campaign.checkout, _DEPLOY_SECONDS)
    if (done := operator.deploy()).status:
        raise SandboxError(f"the deploy failed:\n{done.text[-6000:]}")


def _pace(speed: float) -> dict[str, str]:
    return {
        "TESTING_MODE": "true",
        "TESTING_ADDRESS": "delivered@resend.dev",
        "HUBLAB_TESTING_MINUTE_SECONDS": f"{60 / speed:g}",
    }


def _environment(sandbox: Sandbox, notion_per_minute: int) -> dict[str, str]:
    """The campaign's `.env`: the one that is there as long as its stand-ins run, or a new one."""
    known = env_file(sandbox)
    if known.exists() and group(sandbox).processes():
        return read(known)
    host = sandbox.hosts[0].address
    own = {
        "HUBLAB_WORKERS": "2",
        "HUBLAB_WEBHOOKS": f"{host}:{PORT}",
        "HUBLAB_WEBHOOKS_BIND": "0.0.0.0",  # noqa: S104 - the sandbox's machines have no other network
        "HUBLAB_PUBLIC_URL": f"http://{host}:{PORT}",
        "HUBLAB_CALENDLY_LINK": "https://calendly.com/hublab/call",
        "HUBLAB_PORTAL_URL": "https://portal.hublab.test",
        "HUBLAB_NOTION_PER_MINUTE": str(notion_per_minute),
        "WEBHOOK_SECRET": secrets.token_urlsafe(24),
        "WEBHOOK_SECRET_ONBOARDING_START": secrets.token_urlsafe(24),
        "UNSUBSCRIBE_SECRET": secrets.token_urlsafe(24),
        "RESEND_WEBHOOK_SECRET": f"whsec_{base64.b64encode(secrets.token_bytes(24)).decode()}",
    }
    with step("stand-ins for Notion and Resend"):
        return read(sandbox.env_file) | _standins(sandbox, notion_per_minute) | own


def _standins(sandbox: Sandbox, notion_per_minute: int) -> dict[str, str]:
    """Start both on the sandbox's network, in its cgroup; the settings which point at them."""
    where = ["--address", str(sandbox.layout.operator_address), "--notion-per-minute", str(notion_per_minute)]
    line = answering.start(
        group(sandbox),
        ["sandbox.standins", *where],
        answer=answer_file(sandbox),
        log=sandbox.layout.logs / "standins.log",
    )
    found: dict[str, str] = json.loads(line)
    return found


def _preflight(campaign: Campaign) -> None:
    """Once more where it complains: the queue counts as polled only after a worker's next poll."""
    for _ in range(_PREFLIGHT_TRIES - 1):
        if campaign.command("flows.operator.preflight", check=False).returncode == 0:
            return
        time.sleep(5)
    campaign.command("flows.operator.preflight")
