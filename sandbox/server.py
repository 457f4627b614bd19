"""The server machine: a Prefect server on PostgreSQL."""

from __future__ import annotations

import hashlib
import secrets
import shutil
from base64 import urlsafe_b64encode
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from sandbox import env_file
from sandbox.errors import SandboxError
from sandbox.layout import CHECKOUT, SERVER, Layout
from sandbox.waiting import wait_for

if TYPE_CHECKING:
    from sandbox.machine import Machine

VENV = Path("/opt/prefect/venv")
LOCK = CHECKOUT / "requirements.lock"
POOL = "default"
PORT = 4200
OPEN_PORT = 4201
OPEN_UNIT = "prefect-server-open.service"
_UNITS = Path(__file__).parent / "units"
_READY_SECONDS = 300.0  # limit; 13 s is what the first start takes on an idle machine


def api_url(layout: Layout) -> str:
    """Base address of the API, as the operator's machine and all others reach it."""
    return f"http://{layout.address(SERVER)}:{PORT}/api"


def configure(machine: Machine) -> None:
    """Put the server's configuration and units into the machine before its first boot, with a credential of its own."""
    auth = f"hublab:{secrets.token_urlsafe(24)}"
    settings = {
        "PREFECT_HOME": "/var/lib/prefect",
        "PREFECT_SERVER_API_AUTH_STRING": auth,
        "PREFECT_SERVER_ENCRYPTION_KEY": urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        # Peer authentication over the socket: PostgreSQL takes the word of the kernel for who asks.
        "PREFECT_API_DATABASE_CONNECTION_URL": "postgresql+asyncpg://prefect@/prefect?host=/var/run/postgresql",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        # With Prefect's five, most connections under load are opened for one request, each learning every query anew.
        "PREFECT_SERVER_DATABASE_SQLALCHEMY_POOL_SIZE": "20",
        "PREFECT_UI_API_URL": api_url(machine.layout),
        # Where it is installed is not its own to write.
        "PREFECT_UI_STATIC_DIRECTORY": "/var/lib/prefect/ui",
        "DO_NOT_TRACK": "1",
    }
    folder = machine.upper / "etc/prefect"
    folder.mkdir(mode=0o700, parents=True)
    file = folder / "server.env"
    env_file.write(file, settings)
    units = machine.upper / "etc/systemd/system"
    wanted = units / "multi-user.target.wants"
    wanted.mkdir(parents=True)
    for unit in sorted(set(_UNITS.glob("*.service")) - {_UNITS / OPEN_UNIT}):
        shutil.copyfile(unit, units / unit.name)
        (wanted / unit.name).symlink_to(f"/etc/systemd/system/{unit.name}")


def credential(machine: Machine) -> str:
    """Return the server's credential, ``user:password``: what ``PREFECT_API_AUTH_STRING`` must be."""
    return env_file.read(machine.own("etc/prefect/server.env"))["PREFECT_SERVER_API_AUTH_STRING"]


def rotate(machine: Machine) -> None:
    """Give the server another credential; whoever has the old one alone gets 401 from now on."""
    line = f"PREFECT_SERVER_API_AUTH_STRING=hublab:{secrets.token_urlsafe(24)}\n"
    replace = "cd /etc/prefect && { sed /^PREFECT_SERVER_API_AUTH_STRING=/d server.env; cat; } > server.env.new"
    machine.ssh(f"umask 077; {replace} && mv server.env.new server.env && systemctl restart prefect-server", stdin=line)


def client(layout: Layout, auth: str) -> httpx.Client:
    """Return a plain HTTP client of the API; the caller closes it."""
    user, _, password = auth.partition(":")
    # No proxy of the environment's: the address exists on this machine alone.
    return httpx.Client(base_url=api_url(layout), auth=(user, password), timeout=30, trust_env=False)


def await_ready(machine: Machine, auth: str) -> None:
    """Return when the API is healthy and the work pool is there.

    Raises:
        SandboxError: It was not in time; the error shows the end of the server's journal.
    """

    def said() -> str:
        journal = machine.ssh("journalctl -u prefect-server -n 20 --no-pager -o cat", check=False).stdout
        return f"{api_url(machine.layout)} is healthy; its journal:\n{journal}"

    with client(machine.layout, auth) as api:
        wait_for(lambda: _healthy(api), said, _READY_SECONDS)
        ensure_pool(api)


def check_reach(host: Machine) -> None:
    """Check that a host reaches the API too: its packets cross the bridge, where this machine's firewall sees them.

    Raises:
        SandboxError: It does not, though the operator's machine does.
    """
    done = host.ssh(f"curl -fsS -m 5 --retry 2 -o /dev/null {api_url(host.layout)}/health", check=False)
    if done.returncode:
        bridge, why = host.layout.bridge, done.stderr.strip().rpartition("\n")[2]
        raise SandboxError(
            f"{host.name} does not reach {api_url(host.layout)}, though this machine does ({why}); "
            "a firewall here drops what crosses bridges, as Docker's does; "
            f"remedy: iptables -I FORWARD -i {bridge} -o {bridge} -j ACCEPT"
        )


def open_api(machine: Machine) -> str:
    """Serve the API without a credential too, from now on and after a reboot, and return that address.

    Prefect 3.4 needs it: it cannot present a credential for its event stream (see the unit itself).

    Raises:
        SandboxError: It was not in time.
    """
    url = f"http://{machine.address}:{OPEN_PORT}/api"
    machine.put(f"/etc/systemd/system/{OPEN_UNIT}", (_UNITS / OPEN_UNIT).read_text())
    machine.ssh(f"systemctl daemon-reload && systemctl enable --quiet --now {OPEN_UNIT}")
    look = f"{url} is healthy; look: python -m sandbox ssh server journalctl -u {OPEN_UNIT}"
    with httpx.Client(base_url=url, trust_env=False) as api:
        wait_for(lambda: _healthy(api), look, _READY_SECONDS, every=0.2)
    return url


def _healthy(api: httpx.Client) -> bool:
    try:
        answer = api.get("/health", timeout=5)
    except httpx.TransportError:
        return False
    return answer.status_code == httpx.codes.OK and answer.json() is True


def ensure_pool(api: httpx.Client, name: str = POOL) -> None:
    """Create a work pool as Prefect does by default, unless it is there."""
    if api.get(f"/work_pools/{name}").status_code == httpx.codes.OK:
        return
    known = api.get("/collections/views/aggregate-worker-metadata").raise_for_status().json()
    template = known["prefect"]["process"]["default_base_job_configuration"]
    api.post("/work_pools/", json={"name": name, "type": "process", "base_job_template": template}).raise_for_status()


def digest(lock: Path) -> str:
    """Eight hex digits that change with the lock, so that a new lock gets a new environment."""
    return hashlib.sha256(lock.read_bytes()).hexdigest()[:8]
