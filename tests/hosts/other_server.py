"""A second Prefect server on the server machine: another address, another database, another credential."""

from __future__ import annotations

import secrets
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx

from sandbox import server
from sandbox.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox import Sandbox

PORT = 4300
NAME = "prefect-server-other"
UNIT = f"""[Service]
User=prefect
StateDirectory={NAME}
Environment=PREFECT_HOME=/var/lib/{NAME} PREFECT_UI_ENABLED=false PREFECT_SERVER_ANALYTICS_ENABLED=false
EnvironmentFile=/etc/prefect/other.env
ExecStart=/opt/prefect/venv/bin/prefect server start --host 0.0.0.0 --port {PORT}
"""
READY_SECONDS = 300


@dataclass
class OtherServer:
    """Its address and credential, as `.env` has them."""

    url: str
    auth: str

    @property
    def settings(self) -> dict[str, str]:
        return {"PREFECT_API_URL": self.url, "PREFECT_API_AUTH_STRING": self.auth}

    def api(self) -> httpx.Client:
        user, _, password = self.auth.partition(":")
        return httpx.Client(base_url=self.url, auth=(user, password), timeout=30, trust_env=False)


@contextmanager
def other_server(sandbox: Sandbox) -> Iterator[OtherServer]:
    """One that is healthy and knows nothing of anybody; removed afterwards."""
    machine = sandbox.server
    other = OtherServer(f"http://{machine.address}:{PORT}/api", f"other:{secrets.token_urlsafe(24)}")
    machine.put("/etc/prefect/other.env", f"PREFECT_SERVER_API_AUTH_STRING={other.auth}\n", mode=0o600)
    machine.put(f"/etc/systemd/system/{NAME}.service", UNIT)
    machine.ssh(f"systemctl daemon-reload && systemctl start {NAME}")
    try:
        journal = f"journalctl -u {NAME} -n 20 --no-pager"
        wait_for(lambda: healthy(other), lambda: machine.ssh(journal).stdout, READY_SECONDS, every=0.2)
        yield other
    finally:
        remove = f"rm -rf /etc/systemd/system/{NAME}.service /etc/prefect/other.env /var/lib/{NAME}"
        machine.ssh(f"systemctl stop {NAME}; {remove}; systemctl daemon-reload", timeout=90)


def with_any_credential(sandbox: Sandbox, credential: str) -> dict[str, str]:
    """Settings of the same server where it asks for none: so a new credential is as good as the one of before."""
    url = server.open_api(sandbox.server)
    return {"PREFECT_API_URL": url, "PREFECT_API_AUTH_STRING": f"hublab:{credential}"}


def healthy(other: OtherServer) -> bool:
    try:
        with other.api() as api:
            return api.get("/health", timeout=5).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False
