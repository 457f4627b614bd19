"""The webhook service as a process on loopback, as it is deployed, in front of any Prefect, or of none."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx

from sandbox.local.processes import environment, free_port
from sandbox.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SECRETS = {"webhook-secret": "s", "resend-webhook-secret": "whsec_dGVzdA==", "unsubscribe-secret": "u"}
_START_SECONDS, _STOP_SECONDS = 60.0, 60.0


@dataclass(frozen=True)
class Service:
    """Where it is, and which process."""

    url: str
    pid: int

    def health(self) -> dict[str, dict[str, int]]:
        """What it says of itself; nothing as long as it does not answer."""
        try:
            answer = httpx.get(f"{self.url}/health", trust_env=False, timeout=60)
        except httpx.TransportError:
            return {}
        found: dict[str, dict[str, int]] = answer.json() if answer.is_success else {}
        return found

    def client(self) -> httpx.AsyncClient:
        """Who may post to it."""
        known = {"x-webhook-secret": SECRETS["webhook-secret"]}
        return httpx.AsyncClient(base_url=self.url, headers=known, trust_env=False, timeout=60)


@contextmanager
def serving(folder: Path, **prefect: str) -> Iterator[Service]:
    """The service for as long as the block runs, with its spool in this folder and these settings of Prefect's.

    Raises:
        SandboxError: It does not answer.
    """
    port, secrets = free_port(), folder / "webhooks.json"
    secrets.write_text(json.dumps(SECRETS))
    where = ["--port", str(port), "--spool", str(folder / "spool"), "--secrets", str(secrets)]
    with (folder / "service.log").open("wb") as log:
        command = [sys.executable, "-m", "flows.webhooks.service", *where]
        process = subprocess.Popen(command, env=environment(folder, **prefect), stdout=log, stderr=log)
    try:
        service = Service(f"http://127.0.0.1:{port}", process.pid)
        wait_for(service.health, lambda: f"the webhooks answer\n{(folder / 'service.log').read_text()}", _START_SECONDS)
        yield service
    finally:
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
