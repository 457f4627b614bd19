"""What the recovery asks of Prefect's API: plain requests, so that servers of other versions answer them as well."""

from __future__ import annotations

import logging
import uuid
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

import httpx
from prefect.exceptions import PrefectHTTPStatusError

from worker.recovery import Run

if TYPE_CHECKING:
    from prefect.client.orchestration import PrefectClient

_log = logging.getLogger("prefect.hublab")

PAGE = 200


class PoolApi:
    """One work pool's flow runs and workers. Each answer comes with the server's clock."""

    def __init__(self, client: PrefectClient, pool: str) -> None:
        """Ask through this client, which is patient."""
        self._client = client
        self._pool = pool

    async def ask(self, method: Any, path: Any, body: Any = None, **params: str) -> tuple[Any, datetime]:
        """The answer, `{}` for one without content; None when what the path names is not there, or is there already.

        Raises:
            PrefectHTTPStatusError: the server refuses.
        """
        try:
            response = await self._client.request(method, path, json=body, params=params)
        except PrefectHTTPStatusError as error:
            if error.response.status_code not in {httpx.codes.NOT_FOUND, httpx.codes.CONFLICT}:
                raise
            response = error.response
        stamp = response.headers.get("date")
        now = parsedate_to_datetime(stamp) if stamp else datetime.now(UTC)
        if not response.is_success:
            return None, now
        return response.json() if response.content else {}, now

    async def pages(self, path: str, body: dict[str, Any]) -> tuple[list[dict[str, Any]], datetime]:
        """A filter's answer, all pages."""
        found: list[dict[str, Any]] = []
        while True:
            page, now = await self.ask("POST", path, {**body, "limit": PAGE, "offset": len(found)})
            found += page or []
            if len(page or []) < PAGE:
                return found, now

    async def runs(self, wanted: dict[str, Any]) -> tuple[list[Run], datetime]:
        """Flow runs of the pool, by a filter."""
        pool = {"work_pools": {"name": {"any_": [self._pool]}}}
        found, now = await self.pages("/flow_runs/filter", {"flow_runs": wanted, **pool})
        return [Run.read(raw) for raw in found if raw.get("state")], now

    async def beats(self) -> tuple[dict[str, str], datetime]:
        """The pool's workers: name → time of the last heartbeat."""
        rows, now = await self.pages(f"/work_pools/{self._pool}/workers/filter", {})
        return {row["name"]: row["last_heartbeat_time"] or "" for row in rows}, now

    async def again(self, run: Run) -> tuple[Run | None, list[dict[str, Any]], datetime]:
        """The run as it is now, None when it is not there any more; and all the states that it has had."""
        raw, now = await self.ask("GET", f"/flow_runs/{run.id}")
        history, _ = await self.ask("GET", "/flow_run_states/", flow_run_id=run.id)
        return Run.read(raw) if raw and raw.get("state") else None, history or [], now

    async def inside(self, flow_run_id: str) -> list[Run]:
        """Sub-flows of a run that are in flight in its own process; what a worker takes is that worker's affair."""
        wanted = {"parent_flow_run_id": {"any_": [flow_run_id]}, "state": {"type": {"any_": ["PENDING", "RUNNING"]}}}
        found, _ = await self.pages("/flow_runs/filter", {"flow_runs": wanted})
        return [Run.read(raw) for raw in found if not raw.get("work_queue_name")]

    async def ended_around(self, older_than_seconds: float) -> list[Run]:
        """The pool's runs that have ended, and have sub-flows which seem to go on since long before."""
        wanted = {"parent_task_run_id": {"is_null_": False}, "state": {"type": {"any_": ["PENDING", "RUNNING"]}}}
        found, now = await self.pages("/flow_runs/filter", {"flow_runs": wanted})
        found = [raw for raw in found if raw.get("state") and not raw.get("work_queue_name")]
        old = [raw for raw in found if (now - Run.read(raw).since).total_seconds() > older_than_seconds][:PAGE]
        if not old:
            return []
        tasks = {"task_runs": {"id": {"any_": [raw["parent_task_run_id"] for raw in old]}}}
        around = {raw["flow_run_id"] for raw in (await self.pages("/task_runs/filter", tasks))[0]} - {None}
        ended = {"type": {"any_": ["COMPLETED", "FAILED", "CRASHED", "CANCELLED"]}}
        return (await self.runs({"id": {"any_": sorted(around)}, "state": ended}))[0] if around else []

    async def set_state(self, run: Run, state: dict[str, Any], *, force: bool = False) -> bool:
        """Set a run's state. The same step twice, by whomever, is one step: it bears the id of the state before it."""
        details = {"transition_id": str(uuid.uuid5(uuid.UUID(run.state_id), state["name"]))}
        state = {**state, "state_details": {**details, **state.get("state_details", {})}}
        answer, _ = await self.ask("POST", f"/flow_runs/{run.id}/set_state", {"state": state, "force": force})
        accepted = bool(answer) and answer["status"] == "ACCEPT"
        level, verb = (logging.WARNING, "is") if accepted else (logging.INFO, "does not become")
        _log.log(level, "Flow run %s %s %s: %s", run.id, verb, state["name"], state["message"])
        return accepted
