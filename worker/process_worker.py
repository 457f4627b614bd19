"""Prefect's process worker with what it lacks: it drains, it waits for an absent API, it keeps to its own queue.

All of Prefect's private names that are overridden or used here and in `engines` are listed, and checked one by one, in
tests/worker/test_prefect_internals.py.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import logging
import os
import time
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import anyio
from prefect.client.schemas.responses import WorkerFlowRunResponse
from prefect.events.worker import EventsWorker
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound, PrefectHTTPStatusError, PrefectSignal
from prefect.settings import get_current_settings
from prefect.states import Pending
from prefect.utilities.engine import propose_state
from prefect.workers.process import ProcessJobConfiguration, ProcessWorker, ProcessWorkerResult

from worker import adhoc, living, recovery, workspace
from worker.drain import Drain, InFlight
from worker.engines import Engines
from worker.patience import ApiHealth, make_patient
from worker.pool_api import PoolApi
from worker.recovery import Claimed, Owner
from worker.workplace import BACK_IN, Workplace

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterator
    from uuid import UUID

    from anyio.abc import TaskStatus
    from prefect.client.orchestration import PrefectClient
    from prefect.client.schemas.objects import FlowRun, State
    from prefect.flows import Flow

    from worker.forking import ForkServer
    from worker.settings import WorkerSettings

_log = logging.getLogger("prefect.hublab")

_NOT_FOUND = 404
EVENTS_SECONDS = 3.0
"""How long a worker that ends waits for its last events to leave; the API may be away."""
PUT_OFF_SECONDS = 20.0
"""How long a run that could not be claimed is left alone: asked for at once, it would take a place for ever."""
POLL_SECONDS = 15.0
"""How long a worker that finds nothing asks only whether anything is due: that costs the server half of a poll, by
which it also marks the queues as looked at. As long as Prefect's own workers wait between two polls."""


class _JobConfiguration(ProcessJobConfiguration):
    """What a run is started with."""

    @classmethod
    @cache
    def _base_environment(cls) -> dict[str, str]:
        """The worker's settings, which do not change: Prefect's own takes a tenth of a short run's CPU time."""
        return super()._base_environment()


class HublabWorker(ProcessWorker):
    """A process worker that cannot lose a flow run by being stopped, restarted or cut off from the API."""

    job_configuration = _JobConfiguration

    def __init__(self, settings: WorkerSettings, fork_server: ForkServer) -> None:
        """Poll the customers' queues and the worker's own, in the given pool; engines come from the fork server."""
        super().__init__(
            work_pool_name=settings.pool,
            work_queues=[*settings.queues, settings.probe_queue],
            name=settings.name,
        )
        self.settings = settings
        self.fork_server = fork_server
        self.health = ApiHealth()
        self.drain = Drain(settings.drain_seconds)
        self.in_flight = InFlight()
        storage = Path(get_current_settings().results.local_storage_path)
        self.workplace = Workplace(storage, settings)
        self._scopes: dict[UUID, set[anyio.CancelScope]] = {}
        self.alone_since: dt.datetime | None = None
        self.engine_crashed = False
        """Set when an engine has crashed, until its run has been looked for (`worker.reconciler`)."""
        self.claim = Claimed(Owner(settings.name, living.place()), living.token(os.getpid()))
        self._queues_known = False
        self._put_off: dict[UUID, float] = {}
        self._backlog, self._polled = False, float("-inf")  # whether the last poll found a run; when that was

    @classmethod
    def __dispatch_key__(cls) -> str:
        """A key of its own in Prefect's registry; its `type` is still that of an ordinary process pool."""
        return "hublab-process"

    async def __aexit__(self, *exc_info: object) -> None:
        """Tear down, and let the last events leave. What was submitted is waited for."""
        while self.in_flight and not exc_info[0] and not self.drain.requested.is_set():
            await self.in_flight.change()
        await super().__aexit__(*exc_info)
        await cast("Awaitable[object]", EventsWorker.drain_all(timeout=EVENTS_SECONDS))

    @property
    def has_synced(self) -> bool:
        """Whether the pool and the queues are known, so that polling makes sense."""
        return self._has_successfully_synced

    async def setup(self) -> None:
        """Prepare to run. The API is not asked for anything yet: it may be away for the first half hour."""
        await super().setup()
        make_patient(self.client, self.health)
        self.pool_api = PoolApi(self.client, self.settings.pool)
        self._exit_stack.callback(self._wait_no_more)
        workspace.warn()
        told = self.settings.variables
        self.engines = Engines(self.client, self.health, self.fork_server, told, self.claim.words)
        await self.engines.enter(self._exit_stack)

    def _wait_no_more(self) -> None:
        """A drain has waited within its limits: whatever is left must not keep the process from its exit."""
        if self.drain.requested.is_set() and self._runs_task_group:
            self._runs_task_group.cancel_scope.cancel()

    async def sync_with_backend(self) -> None:
        """Send a heartbeat, read the pool, and see that the queues are there.

        By plain requests alone: Prefect's websocket for the same runs in the task group that owns the flow runs, and an
        error in it would end them all.
        """
        if not self.is_setup:
            return
        if self._worker_channel is None:  # it sends the heartbeats: with one, a worker would hear itself
            await self._look_for_namesake()
        self._ensure_worker_channel()
        if self._worker_channel:
            await self._worker_channel.sync(None)
        await self._create_missing_queues()
        await self._initialize_after_sync()
        await self.engines.knowledge.check_version()
        if self.has_synced and self._started_event is None:
            self._started_event = await self._emit_worker_started_event()

    async def _look_for_namesake(self) -> None:
        """Before the first heartbeat, and never again: whether anybody else has had this worker's name of late.

        A host that was installed anew has its runs of before under the same name at another place, as has a second host
        of that name, which lives.
        """
        beats, now = await self.pool_api.beats()
        last = beats.get(self.name)
        silent = not last or (now - dt.datetime.fromisoformat(last)).total_seconds() > recovery.SILENCE_SECONDS
        self.alone_since = now if silent else None

    async def _create_missing_queues(self) -> None:
        """A poll that names one unknown queue gets no runs at all, and no error."""
        if self._queues_known:
            return
        for name in sorted(self._work_queues):
            try:
                await self.client.read_work_queue_by_name(name, work_pool_name=self.settings.pool)
            except ObjectNotFound:
                try:
                    await self.client.create_work_queue(name, work_pool_name=self.settings.pool)
                except ObjectAlreadyExists:
                    continue
                _log.warning("Work queue %s was missing in pool %s: created", name, self.settings.pool)
        self._queues_known = True

    async def _get_scheduled_flow_runs(self) -> list[WorkerFlowRunResponse]:
        """Ask for as many runs as there is room for; the probe's have a place of their own beside the limit."""
        if self.workplace.problem:
            return []
        settings, probes, now = self.settings, self.in_flight.probes, time.monotonic()
        room = settings.concurrency - (len(self.in_flight) - probes)
        self._put_off = {flow_run_id: until for flow_run_id, until in self._put_off.items() if until > now}
        own = [] if probes else [settings.probe_queue]
        found: list[WorkerFlowRunResponse] = []
        queues = [*own, *(settings.queues if room > 0 else ())]
        try:
            if queues and ((room > 0 and self._backlog) or await self._due(queues)):
                # Runs that are being claimed, or could not be, are among the answers: they must not hide the next.
                limit = settings.concurrency + len(self._put_off) + 1
                found = await self._scheduled(queues, limit)
                self._polled = time.monotonic()
                if len(found) == limit and own and await self._due(own):  # one queue's runs come before another's
                    found += await self._scheduled(own, 1)
            if room > 0:
                self._backlog = bool(found)
        except ObjectNotFound:
            self._queues_known = False
        if self.drain.requested.is_set():
            return []
        return self._to_be_taken(found, room)

    async def _due(self, queues: list[str]) -> bool:
        """Whether to poll: there is something to find, or it is time to be seen."""
        if time.monotonic() - self._polled >= POLL_SECONDS:
            return True
        wanted = {"state": {"type": {"any_": ["SCHEDULED"]}}, "next_scheduled_start_time": {"before_": self._before()}}
        where = {"work_pools": {"name": {"any_": [self.settings.pool]}}, "work_pool_queues": {"name": {"any_": queues}}}
        response = await self.client.request("POST", "/flow_runs/count", json={"flow_runs": wanted, **where})
        return bool(response.json())

    def _before(self) -> str:
        """Until when a run must be due to be taken."""
        return (dt.datetime.now(dt.UTC) + dt.timedelta(seconds=self._prefetch_seconds)).isoformat()

    def _to_be_taken(self, found: list[WorkerFlowRunResponse], room: int) -> list[WorkerFlowRunResponse]:
        """Those for which there is room, each one once."""
        known = {*self.in_flight.ids(), *self._put_off}
        new = {entry.flow_run.id: entry for entry in found if entry.flow_run.id not in known}.values()
        probes = [entry for entry in new if entry.flow_run.work_queue_name == self.settings.probe_queue]
        return probes[:1] + [entry for entry in new if entry not in probes][: max(room, 0)]

    async def _scheduled(self, queues: list[str], limit: int) -> list[WorkerFlowRunResponse]:
        asked = time.monotonic()
        try:
            response = await self.client.request(
                "POST",
                "/work_pools/{name}/get_scheduled_flow_runs",
                path_params={"name": self.settings.pool},
                json={"work_queue_names": queues, "scheduled_before": self._before(), "limit": limit},
            )
        except PrefectHTTPStatusError as error:
            if error.response.status_code == _NOT_FOUND:
                raise ObjectNotFound(http_exc=error) from error
            raise
        found = list(WorkerFlowRunResponse.model_validate_list(response.json()))
        # One that is in hand goes on as an earlier poll gave it.
        taken = (entry.flow_run.id for entry in found if entry.flow_run.id not in self.in_flight)
        self.engines.knowledge.polled(asked, taken)
        return found

    async def _submit_run(self, flow_run: FlowRun) -> None:
        """Claim a run and start it. Nothing raised here may reach the task group, which owns the other runs."""
        probe = flow_run.work_queue_name == self.settings.probe_queue
        with self._in_hand(flow_run.id, probe=probe):
            try:
                with self.drain.until_claimed(flow_run.id):
                    await super()._submit_run(flow_run)
            except (Exception, PrefectSignal):  # noqa: BLE001 - see above
                _log.exception("Flow run %s could not be submitted", flow_run.id)
                self._put_off[flow_run.id] = time.monotonic() + PUT_OFF_SECONDS
            finally:
                self._submitting_flow_run_ids.discard(flow_run.id)

    @contextlib.contextmanager
    def _in_hand(self, flow_run_id: UUID, *, probe: bool = False) -> Iterator[None]:
        """The run is in flight, and what the block waits for ends with the drain's limit."""
        with self.in_flight.hold(flow_run_id, probe=probe), anyio.CancelScope() as scope:
            scopes = self._scopes.setdefault(flow_run_id, set())
            scopes.add(scope)
            try:
                yield
            finally:
                scopes.discard(scope)
                if not scopes:
                    self._scopes.pop(flow_run_id, None)

    async def _propose_pending_state(self, flow_run: FlowRun) -> bool:
        """The claim, in our name. After a signal none is begun; one that was begun is carried through."""
        if not self.drain.claim(flow_run.id):
            return False
        try:
            claim: State[None] = Pending(message=self.claim.words)
            state = await propose_state(self.client, claim, flow_run_id=flow_run.id)
            if claimed := state.is_pending():
                flow_run.state, flow_run.state_type, flow_run.state_name = state, state.type, state.name
        except Exception as error:  # noqa: BLE001 - as in Prefect's own: it concerns this run alone
            _log.info("Flow run %s could not be claimed: %s", flow_run.id, error)
            claimed = False
        if not claimed:
            self._put_off[flow_run.id] = time.monotonic() + PUT_OFF_SECONDS
        return claimed

    async def _propose_submitting_state(self, flow_run: FlowRun) -> None:
        """Nothing: the claim says all that this would. A run that was rescheduled since, it would claim once more."""

    async def _submit_run_and_capture_errors(
        self, flow_run: FlowRun, task_status: TaskStatus[int | Exception] | None = None
    ) -> Any:
        with self._in_hand(flow_run.id):
            try:
                return await super()._submit_run_and_capture_errors(flow_run, task_status)
            except (Exception, PrefectSignal) as error:  # noqa: BLE001 - as in _submit_run
                _log.exception("Flow run %s: its end could not be seen to", flow_run.id)
                return error
            finally:
                self.engines.forget(flow_run.id)

    async def _propose_crashed_state(
        self, flow_run: FlowRun, message: str, client: PrefectClient | None = None
    ) -> None:
        """The engines report what became of their processes; only what they know nothing of is reported here."""
        if not self.engines.reports.is_settled(flow_run.id):
            await super()._propose_crashed_state(flow_run, message, client)

    async def _give_worker_labels_to_flow_run(self, flow_run_id: UUID) -> None:
        """Prefect's own, and which very process runs it, so that a gate can tell a worker from the one before."""
        labels: dict[str, bool | int | float | str] = {
            "prefect.worker.name": self.name,
            "prefect.worker.type": self.type,
            "prefect.work-pool.name": self.settings.pool,
            "prefect.work-pool.id": str(self.work_pool.id),
            "hublab.worker": self.claim.owner.worker,
            "hublab.place": self.claim.owner.place,
            "hublab.release": self.settings.release,
            "hublab.pid": str(os.getpid()),
            "hublab.invocation": os.environ.get("INVOCATION_ID", ""),
        }
        try:
            await self.client.update_flow_run_labels(flow_run_id, labels)
        except ObjectNotFound:
            raise  # the run was deleted
        except Exception as error:  # noqa: BLE001 - the run begins all the same
            _log.warning("Flow run %s could not be labelled with its worker: %s", flow_run_id, error)

    async def run(
        self,
        flow_run: FlowRun,
        configuration: ProcessJobConfiguration,
        task_status: TaskStatus[int] | None = None,
    ) -> ProcessWorkerResult:
        """Run one flow run to its end in an engine of its own."""
        try:
            place = self.workplace.open(configuration.working_dir)
        except OSError as error:
            reason = f"{self.name} could not start it: {error}"
            if await self.engines.reports.propose_again(flow_run.id, reason, BACK_IN):
                self.engines.reports.settle(flow_run.id)
            raise
        async with place:
            pid, status = await self.engines.execute(
                flow_run, configuration, place, task_status or anyio.TASK_STATUS_IGNORED
            )
        self.engine_crashed |= status != 0
        return ProcessWorkerResult(status_code=status, identifier=str(pid))

    async def _submit_adhoc_run(
        self,
        flow: Flow[..., Any],
        parameters: dict[str, Any] | None = None,
        job_variables: dict[str, Any] | None = None,
        task_status: TaskStatus[FlowRun] | None = None,
        flow_run: FlowRun | None = None,
    ) -> None:
        """What `submit` starts."""
        if flow_run is None:
            flow_run = await self.client.create_flow_run(
                flow,
                parameters=parameters,
                state=Pending(),
                job_variables=job_variables,
                work_pool_name=self.settings.pool,
            )
        else:
            await self.client.set_flow_run_state(flow_run.id, Pending(), force=True)
        try:
            with self._in_hand(flow_run.id):
                if task_status:
                    task_status.started(flow_run)
                await adhoc.execute(self, flow, job_variables, flow_run)
        except (Exception, PrefectSignal) as error:  # noqa: BLE001 - as in _submit_run
            _log.exception("Flow run %s: what was submitted ended with an error", flow_run.id)
            await self._propose_crashed_state(flow_run, f"Flow run could not be executed: {error}")
        finally:
            self.engines.forget(flow_run.id)

    async def hand_back(self, flow_run_id: UUID) -> bool:
        """End a run here and give it back to Prefect, to be run again. False when Prefect could not be told."""
        mine = await self.engines.end(flow_run_id)
        with anyio.move_on_after(5):
            await self.in_flight.released(flow_run_id)
        for scope in tuple(self._scopes.get(flow_run_id, ())):
            scope.cancel()
        await self.in_flight.released(flow_run_id)
        reason = "Its worker was stopped; to be run again."
        return not mine or await self.engines.reports.propose_again(flow_run_id, reason)
