"""The page as a process of the sandbox: it ends with it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from sandbox.cgroup import Cgroup
from sandbox.errors import SandboxError
from sandbox.layout import CHECKOUT

if TYPE_CHECKING:
    from sandbox.campaign.core import Campaign

_START_SECONDS = 60.0


def start(campaign: Campaign) -> str:
    """Serve the page on the sandbox's network, before the campaign's webhooks; its address. One that runs is replaced.

    Raises:
        SandboxError: It did not start.
    """
    layout = campaign.sandbox.layout
    processes, answer, log = Cgroup(f"{layout.cgroup}/funnel"), layout.root / "funnel.url", layout.logs / "funnel.log"
    processes.kill()
    webhook = f"{campaign.webhooks_url}/webhook/christmas-signup"
    where = ["--webhook", webhook, "--address", str(layout.operator_address)]
    command = processes.enter([sys.executable, "-m", "sandbox.funnel", *where])
    # Not in the argument list, which every process here can read.
    environment = os.environ | {"WEBHOOK_SECRET": campaign.environment["WEBHOOK_SECRET"]}
    with answer.open("wb") as out, log.open("ab") as errors:
        subprocess.Popen(
            command,
            cwd=CHECKOUT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=errors,
            start_new_session=True,
        )
    deadline = time.monotonic() + _START_SECONDS
    while not (text := answer.read_text()).endswith("\n"):
        if time.monotonic() > deadline:
            raise SandboxError(f"the funnel page did not start; see {log}")
        time.sleep(0.1)
    return text.strip()
