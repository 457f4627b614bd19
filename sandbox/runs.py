"""Deployments and flow runs at the sandbox's server, over its plain HTTP API: what every test of a worker needs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from sandbox.errors import SandboxError
from sandbox.server import POOL
from sandbox.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    import httpx

TERMINAL = frozenset({"COMPLETED", "FAILED", "CRASHED", "CANCELLED"})
_LOOK_EVERY = 0.5  # seconds
_PAGE = 200


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
        # A server of 3.4 refuses every run of a deployment that brings no schema, unless it is told not to look.
        "enforce_parameter_schema": False,
        "work_pool_name": pool,
        "work_queue_name": queue,
        "pull_steps": [{"prefect.deployments.steps.set_working_directory": {"directory": directory}}],
    }
    return str(_post(api, "/deployments/", body)["id"])


def start(
    api: httpx.Client,
    deployment: str,
    parameters: Mapping[str, Any] | None = None,
    *,
    tags: Collection[str] = (),
    after: timedelta = timedelta(0),
) -> str:
    """Create a flow run that is due at once, or after a while, and return its id; its deployment's tags are added."""
    due = {"type": "SCHEDULED", "state_details": {"scheduled_time": (datetime.now(UTC) + after).isoformat()}}
    body = {"parameters": dict(parameters or {}), "state": due, "tags": list(tags)}
    return str(_post(api, f"/deployments/{deployment}/create_flow_run", body)["id"])


def state(api: httpx.Client, run: str) -> RunState:
    """Return the state that a flow run is in."""
    now = api.get(f"/flow_runs/{run}").raise_for_status().json()["state"]
    return RunState(now["type"], now["name"], now.get("message") or "")


def force(api: httpx.Client, run: str, kind: str, name: str | None = None) -> None:
    """Put a flow run into a state, whatever Prefect's rules say of it."""
    _post(api, f"/flow_runs/{run}/set_state", {"state": {"type": kind, "name": name}, "force": True})


def await_state(api: httpx.Client, run: str, wanted: Collection[str] = TERMINAL, *, timeout: float = 120.0) -> RunState:
    """Return the state of a flow run as soon as its type is one of ``wanted``.

    Raises:
        SandboxError: It is in none of them after ``timeout`` seconds, or is in a terminal one that was not wanted.
    """
    now = state(api, run)

    def told() -> str:
        return f"flow run {run} is {now.type} ({now.message or 'no message'}), not {'/'.join(sorted(wanted))}"

    def come() -> bool:
        nonlocal now
        now = state(api, run)
        return now.type in {*wanted, *TERMINAL}

    wait_for(come, told, timeout, every=_LOOK_EVERY)
    if now.type not in wanted:
        raise SandboxError(told())
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

    def missing() -> list[str]:
        known = workers(api, pool)
        return sorted(name for name in names if known.get(name) != "ONLINE")

    what = f"ONLINE in pool {pool}: "
    wait_for(lambda: not missing(), lambda: what + ", ".join(missing()), timeout, every=_LOOK_EVERY)


def pages(api: httpx.Client, path: str, asked: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Everything that one of Prefect's filters finds."""
    query = {"sort": "ID_DESC"} | asked | {"limit": _PAGE, "offset": 0}
    while page := api.post(path, json=query).raise_for_status().json():
        yield from page
        query["offset"] += _PAGE


def _post(api: httpx.Client, path: str, body: dict[str, Any]) -> dict[str, Any]:
    answer: dict[str, Any] = api.post(path, json=body).raise_for_status().json()
    return answer
