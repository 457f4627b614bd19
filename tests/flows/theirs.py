"""Workers of two productions at one Prefect server: theirs, with the code of before in short, and ours.

Both take runs from a pool as Prefect's own workers do: only who gets a run from Scheduled to Pending has it, and what
it runs is what the deployment says then. Code that is not its own it cannot load: the run crashes.
"""

from __future__ import annotations

import contextvars
import threading
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from prefect.flow_engine import run_flow

from flows.operator.register import flow_of
from flows.services import notion_schema as schema
from flows.services.prefect_api import Prefect
from sandbox.past import campaign as before
from tests.flows.past import DELAYS, SEND, Past, client_of

if TYPE_CHECKING:
    from collections.abc import Callable


class Death(BaseException):
    """A worker is killed: the run in its hands stays as it is."""


class Worker(threading.Thread):
    """Polls one pool until it is stopped, or dies."""

    def __init__(self, past: Past, api: str, pool: str, work: Callable[[Worker, dict[str, Any]], None]) -> None:
        super().__init__(daemon=True)
        self.past, self.pool, self.work = past, pool, work
        self.api = client_of(api)
        self.halted, self.dead = threading.Event(), False
        self.context = contextvars.copy_context()  # Prefect's settings are in it
        self.dies_at = ""  # the point at which it dies next

    def run(self) -> None:
        self.context.run(self._poll)

    def _poll(self) -> None:
        while not self.halted.is_set():
            try:
                if not self.once():
                    time.sleep(0.5)
            except Death:
                self.dead = True
                return

    def once(self) -> bool:
        """Take one run that is due, if there is one."""
        asked = {"scheduled_before": datetime.now(UTC).isoformat(), "limit": 1}
        answer = self.api.post(f"/work_pools/{self.pool}/get_scheduled_flow_runs", json=asked)
        answer.raise_for_status()
        for one in answer.json():
            run = one["flow_run"]
            if self.state(run, "PENDING"):
                self.work(self, run)
        return bool(answer.json())

    def state(self, run: dict[str, Any], kind: str) -> bool:
        """Propose a state; whether Prefect took it."""
        body = {"state": {"type": kind, "name": kind.title()}}
        answer = self.api.post(f"/flow_runs/{run['id']}/set_state", json=body)
        return answer.is_success and answer.json()["status"] == "ACCEPT"

    def deployment(self, run: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = self.api.get(f"/deployments/{run['deployment_id']}").json()
        return found

    def point(self, name: str) -> None:
        """A place where it may die."""
        if self.dies_at == name:
            raise Death

    def stop(self) -> None:
        self.halted.set()
        self.join(60)
        assert not self.is_alive()


def ours(worker: Worker, run: dict[str, Any]) -> None:
    """Run it as an engine of this release does."""
    entrypoint = worker.deployment(run)["entrypoint"]
    if not entrypoint.startswith("flows."):
        worker.state(run, "CRASHED")
        return
    with Prefect() as prefect:
        found = prefect.client.read_flow_run(run["id"])
    run_flow(flow_of(entrypoint), flow_run=found, parameters=found.parameters, return_type="state")


_records = threading.Lock()


def theirs(worker: Worker, run: dict[str, Any]) -> None:
    """Run it as the flows of before did: whatever goes wrong, it is Completed."""
    deployment = worker.deployment(run)
    if deployment["entrypoint"].startswith("flows."):
        worker.state(run, "CRASHED")
        return
    worker.state(run, "RUNNING")
    given = run["parameters"]
    if deployment["name"] == SEND:
        _send(worker, given)
    else:
        _signup(worker, given)
    worker.state(run, "COMPLETED")


def _send(worker: Worker, given: dict[str, Any]) -> None:
    world, step = worker.past.world, given["email_number"]
    rows = world.rows(schema.SEQUENCE, given["email"])
    if not rows or schema.read(rows[0], f"Email {step} Sent"):
        return
    worker.past.mail(given["email"], step, datetime.now(UTC))
    worker.point("sent")
    world.edit(schema.SEQUENCE, rows[0], **{f"Email_{step}_Sent": f"{datetime.now(UTC):%Y-%m-%dT%H:%M}"})


def _signup(worker: Worker, given: dict[str, Any]) -> None:
    past, now = worker.past, datetime.now(UTC)
    with _records:
        rows = past.world.rows(schema.SEQUENCE, given["email"])
        if any(schema.read(row, f"Email {step} Sent") for row in rows for step in DELAYS):
            return
        if not rows:
            past.contact(given["email"])
            past.page(given["email"], now)
    worker.point("recorded")
    for step, delay in DELAYS.items():
        before.scheduled_mail(worker.api, past.ids[SEND], given | {"email_number": step}, now + delay)
        worker.point(f"scheduled {step}")
