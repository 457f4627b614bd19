"""A real Prefect server on loopback, and what is asked of it directly."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from sandbox.layout import CHECKOUT
from sandbox.local.processes import AUTH, environment, free_port
from sandbox.server import POOL
from sandbox.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

PREFECT = str(Path(sys.executable).parent / "prefect")
UNSEEN = {
    f"PREFECT_SERVER_SERVICES_{name}_ENABLED": "false" for name in ("EVENT_PERSISTER", "TRIGGERS", "TASK_RUN_RECORDER")
}
"""For a server of which nobody reads events or task runs: keeping them is much of its work."""


class Api:
    """Prefect's server, asked directly, not through any proxy."""

    def __init__(self, port: int, flows: str = "trial_flows", auth: str = AUTH) -> None:
        """Ask the server on this port; `flows` is the module that has the flows which are started."""
        self.port, self._flows = port, flows
        user, _, word = auth.partition(":")
        # A connection that is kept may be one that the server closes in the same moment.
        alone = httpx.Limits(max_keepalive_connections=0)
        self._http = httpx.Client(base_url=f"http://127.0.0.1:{port}/api", auth=(user, word), timeout=30, limits=alone)

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """Ask; SQLite may be locked for a moment, which the server answers with 503."""
        return self._ask("POST", path, body)

    def get(self, path: str) -> Any:
        """Read."""
        return self._ask("GET", path)

    def patch(self, path: str, body: Mapping[str, Any]) -> None:
        """Change."""
        self._ask("PATCH", path, body)

    def delete(self, path: str) -> None:
        """Remove."""
        self._ask("DELETE", path)

    def wait[T](self, look: Callable[[], T | None], what: str | Callable[[], str]) -> T:
        """Wait for what a look at the server shows: each takes CPU time of one server that all tests wait for."""
        return wait_for(look, what, every=0.3)

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        def ask() -> httpx.Response | None:
            answer = self._http.request(method, path, json=body)
            return None if answer.status_code == httpx.codes.SERVICE_UNAVAILABLE else answer

        answer = wait_for(ask, path).raise_for_status()
        return answer.json() if answer.content else None

    def deploy(self, entrypoint: str, name: str, pool: str = POOL) -> str:
        """Register a deployment of a flow; the same name is the same deployment."""
        flow = self.post("/flows/", {"name": name})["id"]
        wanted = {"name": name, "flow_id": flow, "entrypoint": entrypoint, "work_pool_name": pool}
        wanted |= {"work_queue_name": "nobody", "enforce_parameter_schema": False}
        return str(self.post("/deployments/", wanted)["id"])

    def ensure_pool(self, name: str = POOL) -> None:
        """See that the pool is there, before the first worker has created it."""
        body = {"name": name, "type": "process"}
        wait_for(lambda: self._http.post("/work_pools/", json=body).status_code in {201, 409}, f"the pool {name}")

    def ensure_queue(self, pool: str, name: str) -> None:
        """See that the queue is there, whose runs no worker may take."""
        path, body = f"/work_pools/{pool}/queues", {"name": name}
        wait_for(lambda: self._http.post(path, json=body).status_code in {201, 409}, f"the queue {name}")

    def start(self, entrypoint: str, queue: str, **parameters: Any) -> str:
        """Put a run of that flow on the queue."""
        return self.start_with({}, entrypoint, queue, **parameters)

    def start_many(self, count: int, entrypoint: str, queue: str, pool: str = POOL) -> list[str]:
        """Put so many runs on the queue, of which none begins before the last is there."""
        deployment, place = self.deploy(f"{self._flows}.{entrypoint}", entrypoint), f"/work_pools/{pool}/queues/{queue}"
        body = {"work_queue_name": queue, "state": {"type": "SCHEDULED"}}
        self.patch(place, {"is_paused": True})
        try:
            made = [self.post(f"/deployments/{deployment}/create_flow_run", body) for _ in range(count)]
        finally:
            self.patch(place, {"is_paused": False})
        return [str(one["id"]) for one in made]

    def start_with(self, job_variables: Mapping[str, Any], entrypoint: str, queue: str, **parameters: Any) -> str:
        """The same with job variables."""
        deployment = self.deploy(f"{self._flows}.{entrypoint}", entrypoint)
        body = {"work_queue_name": queue, "parameters": parameters, "state": {"type": "SCHEDULED"}}
        body["job_variables"] = dict(job_variables)
        return str(self.post(f"/deployments/{deployment}/create_flow_run", body)["id"])

    def run(self, flow_run: str) -> Any:
        """The run as the server has it."""
        return self.get(f"/flow_runs/{flow_run}")

    def state(self, flow_run: str) -> str:
        """The type of its state."""
        return str(self.run(flow_run)["state"]["type"])

    def wait_state(self, flow_run: str, *states: str) -> str:
        """Wait until it is in one of these states."""

        def found() -> str | None:
            state = self.state(flow_run)
            return state if state in states else None

        return self.wait(found, lambda: f"flow run in {states}, which is {self.run(flow_run)['state']}")

    def cancel(self, flow_run: str) -> None:
        """As the button in Prefect's pages does."""
        self.post(f"/flow_runs/{flow_run}/set_state", {"state": {"type": "CANCELLING"}})

    def workers(self, pool: str = POOL) -> list[Any]:
        """Those of the pool; none before the first has created it."""
        answer = self._http.post(f"/work_pools/{pool}/workers/filter", json={})
        return list(answer.json()) if answer.is_success else []

    def heartbeat(self, worker: str, pool: str = POOL) -> str:
        """When the server last heard of the worker."""
        return next(str(entry["last_heartbeat_time"]) for entry in self.workers(pool) if entry["name"] == worker)


class Fresh:
    """The database of a first start, kept for the next servers of that version: to make it is half of a start."""

    def __init__(self, database: Path, program: str = PREFECT) -> None:
        """Of a server of this program; one that is there already is left alone."""
        (version,) = Path(program).parents[1].glob("lib/python*/site-packages/prefect-*.dist-info")
        self._database, self._kept = database, CHECKOUT / ".hublab/prefect" / f"{version.stem}.db"
        self._first = not database.exists()

    def furnish(self) -> None:
        """Put it there before the start; nothing, where this server is the first of its version."""
        if self._first and self._kept.exists():
            shutil.copy(self._kept, self._database)

    def keep(self) -> None:
        """Of a server that answers, and that nobody has asked for anything."""
        if not self._first or self._kept.exists():
            return
        self._kept.parent.mkdir(parents=True, exist_ok=True)
        whole = self._kept.with_suffix(f".{os.getpid()}")
        with contextlib.closing(sqlite3.connect(self._database, timeout=60)) as database:
            database.execute("VACUUM INTO ?", [str(whole)])
        whole.replace(self._kept)


@contextlib.contextmanager
def prefect_server(home: Path, program: str = PREFECT, **more: str) -> Iterator[int]:
    """A real server on loopback, of this program of Prefect's, with more in its environment; yields its port."""
    port, fresh = free_port(), Fresh(home / "prefect.db", program)
    fresh.furnish()
    command = [program, "server", "start", "--port", str(port), "--no-ui"]
    with (home / "server.log").open("wb") as log:
        more |= {"PREFECT_SERVER_API_AUTH_STRING": AUTH, "PREFECT_API_URL": f"http://127.0.0.1:{port}/api"}
        process = subprocess.Popen(command, env=environment(home, **more), stdout=log, stderr=log, cwd=home)

    def answers() -> bool:
        with contextlib.suppress(httpx.TransportError):
            return http.get(f"http://127.0.0.1:{port}/api/health").is_success
        return False

    try:
        with httpx.Client(trust_env=False) as http:  # one: to make it costs more than to ask
            wait_for(answers, "Prefect's server answers", limit=600)
        fresh.keep()
        yield port
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)
