"""Deployments and flow runs at the sandbox's server, over its plain HTTP API: what every test of a worker needs."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sandbox.errors import SandboxError
from sandbox.server import POOL

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    import httpx

TERMINAL = frozenset({"COMPLETED", "FAILED", "CRASHED", "CANCELLED"})
_LOOK_EVERY = 0.5  # seconds


@dataclass(frozen=True)
class RunState:
    """State of a flow run: ``COMPLETED``, ``Completed``, and what the state says about how it came to be."""

    type: str
    name: str
    message: str


def register(api: httpx.Client, entrypoint: str, *, directory: str, queue: str = "default", pool: str = POOL) -> str:
    """Register a deployment of a flow whose code lies on the hosts, and return its id. Again is no error.

    Args:
        api: Client of the server, from ``Sandbox.api()``.
        entrypoint: ``file.py:function``, seen from ``directory``; the flow's name is the function's, with dashes.
        directory: Folder on the host in which a run starts.
        queue: Work queue; created when it is not there.
        pool: Work pool.
    """
    name = entrypoint.rpartition(":")[2].replace("_", "-")
    flow = _post(api, "/flows/", {"name": name})
    body = {
        "name": f"{name}-{queue}",
        "flow_id": flow["id"],
        "entrypoint": entrypoint,
        "work_pool_name": pool,
        "work_queue_name": queue,
        "pull_steps": [{"prefect.deployments.steps.set_working_directory": {"directory": directory}}],
    }
    return str(_post(api, "/deployments/", body)["id"])


def start(api: httpx.Client, deployment: str, parameters: Mapping[str, Any] | None = None) -> str:
    """Create a flow run that is due at once, and return its id."""
    body = {"parameters": dict(parameters or {}), "state": {"type": "SCHEDULED"}}
    return str(_post(api, f"/deployments/{deployment}/create_flow_run", body)["id"])


def state(api: httpx.Client, run: str) -> RunState:
    """Return the state that a flow run is in."""
    now = api.get(f"/flow_runs/{run}").raise_for_status().json()["state"]
    return RunState(now["type"], now["name"], now.get("message") or "")


def await_state(api: httpx.Client, run: str, wanted: Collection[str] = TERMINAL, *, timeout: float = 120.0) -> RunState:
    """Return the state of a flow run as soon as its type is one of ``wanted``.

    Raises:
        SandboxError: It is in none of them after ``timeout`` seconds, or is in a terminal one that was not wanted.
    """
    deadline = time.monotonic() + timeout
    while (now := state(api, run)).type not in wanted:
        if now.type in TERMINAL or time.monotonic() > deadline:
            raise SandboxError(
                f"flow run {run} is {now.type} ({now.message or 'no message'}), not {'/'.join(sorted(wanted))}"
            )
        time.sleep(_LOOK_EVERY)
    return now


def workers(api: httpx.Client, pool: str = POOL) -> dict[str, str]:
    """Return the status, ONLINE or OFFLINE, of each worker that the server knows in a pool."""
    found = api.post(f"/work_pools/{pool}/workers/filter", json={}).raise_for_status().json()
    return {worker["name"]: worker["status"] for worker in found}


def await_online(api: httpx.Client, names: Collection[str], *, timeout: float, pool: str = POOL) -> None:
    """Return when every worker of ``names`` is ONLINE. The server takes a dead one for ONLINE for up to 105 seconds.

    Raises:
        SandboxError: One is not, after ``timeout`` seconds.
    """
    deadline = time.monotonic() + timeout
    while missing := {name for name in names if workers(api, pool).get(name) != "ONLINE"}:
        if time.monotonic() > deadline:
            raise SandboxError(f"not ONLINE in pool {pool} after {timeout:.0f} s: {', '.join(sorted(missing))}")
        time.sleep(_LOOK_EVERY)


def _post(api: httpx.Client, path: str, body: dict[str, Any]) -> dict[str, Any]:
    answer: dict[str, Any] = api.post(path, json=body).raise_for_status().json()
    return answer
