"""The engines: one process per flow run, each in a session of its own, started lean and ended with care.

Built from the parts that Prefect's runner is made of. Differences, each with its reason:

- Forked from a process that has imported Prefect (`worker.fork_server`), or else `python -m prefect.engine` straight
  away, in either case without the supervisor process before it.
- Output goes to the worker's own standard output (the journal), never through a pipe: a flow that prints must not die
  of a broken pipe when its worker is gone.
- One look for cancellations for all runs together, by the API, in place of a websocket for each run: it outlives an
  API that was away, where the websocket falls back to polling and gives that up after three failures.
- Hooks run in a process of their own (`worker.hooks`): a customer's module is never imported into the worker.
"""

from __future__ import annotations

import logging
import os
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import anyio
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterId,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import StateType
from prefect.events.clients import NullEventsClient
from prefect.exceptions import Abort, ObjectNotFound
from prefect.runner._cancellation_manager import CancellationManager
from prefect.runner._control_channel import ControlChannel, ControlSignalStatus
from prefect.runner._event_emitter import EventEmitter
from prefect.runner._flow_run_executor import FlowRunExecutor
from prefect.runner._process_manager import ProcessHandle, ProcessManager
from prefect.runner._state_proposer import StateProposer
from prefect.states import AwaitingRetry
from prefect.utilities.engine import propose_state

from worker.engine_process import EngineStarter
from worker.hooks import HookProcess

if TYPE_CHECKING:
    from contextlib import AsyncExitStack
    from pathlib import Path
    from uuid import UUID

    from anyio.abc import TaskStatus
    from prefect.client.orchestration import PrefectClient
    from prefect.client.schemas.objects import FlowRun, State
    from prefect.workers.process import ProcessJobConfiguration

    from worker.forking import ForkServer
    from worker.patience import ApiHealth

_log = logging.getLogger("prefect.hublab")

KILL_GRACE_SECONDS = 10.0
"""Between SIGTERM and SIGKILL for a run that is handed back."""


class Proposer(StateProposer):
    """Reports a crash, unless the run is on its way back to Prefect, or never began because the API was away."""

    def __init__(self, engines: Engines, client: PrefectClient) -> None:
        """Propose through this client."""
        super().__init__(client=client)
        self._engines = engines

    async def propose_crashed(self, flow_run: FlowRun, message: str) -> State | None:
        """The engine ended without a word of its own."""
        if self._engines.is_settled(flow_run.id):
            return None
        self._engines.settle(flow_run.id)
        if await self._engines.never_reached_the_api(flow_run.id):
            await self._engines.propose_again(flow_run.id, "Its engine could not reach the API at its start.")
            return None
        return await super().propose_crashed(flow_run, message)


class Engines:
    """All engines of one worker."""

    def __init__(self, client: PrefectClient, health: ApiHealth, fork_server: ForkServer) -> None:
        """Report to Prefect through `client`, which is patient."""
        self._client = client
        self.fork_server = fork_server
        self._health = health
        self._hooks: dict[UUID, HookProcess] = {}
        self._begun_at: dict[UUID, float] = {}
        self._settled: set[UUID] = set()
        self._cancelling: dict[UUID, anyio.Event] = {}
        self._proposer = Proposer(self, client)
        self.control = ControlChannel()
        self.processes = ProcessManager(on_remove=self._forget)
        self._emitter = EventEmitter(runner_name="hublab", client=client, get_events_client=NullEventsClient)

    async def enter(self, stack: AsyncExitStack) -> None:
        """Open what the engines need, to be closed by `stack`."""
        for part in (self.processes, self._emitter, self.control):
            await stack.enter_async_context(part)

    def is_settled(self, flow_run_id: UUID) -> bool:
        """Whether the run's next state has been seen to, so that a dead engine is no crash."""
        return flow_run_id in self._settled

    def settle(self, flow_run_id: UUID) -> None:
        """See to the run's next state here and nowhere else."""
        self._settled.add(flow_run_id)

    def forget(self, flow_run_id: UUID) -> None:
        """The run is no longer this worker's."""
        self._hooks.pop(flow_run_id, None)
        self._begun_at.pop(flow_run_id, None)
        self._settled.discard(flow_run_id)
        self._cancelling.pop(flow_run_id, None)

    async def execute(
        self, flow_run: FlowRun, configuration: ProcessJobConfiguration, cwd: Path, task_status: TaskStatus[int]
    ) -> tuple[int, int]:
        """Run the engine to its end. Returns its process id and its status; 0 when it has told Prefect its outcome."""
        self._hooks[flow_run.id] = hooks = HookProcess(configuration.env, cwd)
        self._begun_at[flow_run.id] = time.monotonic()
        executor = FlowRunExecutor(
            flow_run=flow_run,
            starter=EngineStarter(self, configuration, cwd),
            process_manager=self.processes,
            state_proposer=self._proposer,
            hook_runner=hooks,
            get_attempt_conclusion=self.control.get_conclusion,
            propose_submitting=False,
        )
        result = None

        async def submit(*, task_status: TaskStatus[ProcessHandle]) -> None:
            nonlocal result
            result = await executor.submit(task_status=task_status)

        async with anyio.create_task_group() as group:
            handle = await group.start(submit)
            task_status.started(handle.pid)
        if cancelled := self._cancelling.get(flow_run.id):
            # Its hooks need the folder and its state is still to be set: until then the run is in flight.
            await cancelled.wait()
        if result is None or result.status_code is None:
            raise RuntimeError(f"flow run {flow_run.id}: its engine ended without a status")
        return int(handle.pid), result.status_code

    async def look_for_cancellations(self) -> list[FlowRun]:
        """Runs with an engine here that somebody wants cancelled, each one reported once."""
        watched = self.processes.flow_run_ids() - self._cancelling.keys()
        if not watched:
            return []
        found = await self._client.read_flow_runs(
            flow_run_filter=FlowRunFilter(
                id=FlowRunFilterId(any_=list(watched)),
                state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.CANCELLING])),
            )
        )
        found = [flow_run for flow_run in found if self.processes.get(flow_run.id)]
        self._cancelling |= {flow_run.id: anyio.Event() for flow_run in found}
        return found

    async def cancel(self, flow_run: FlowRun) -> None:
        """Prefect's own sequence: tell the engine, end it, run the hooks, set the state."""
        manager = CancellationManager(
            process_manager=self.processes,
            hook_runner=self._hooks[flow_run.id],
            state_proposer=self._proposer,
            event_emitter=self._emitter,
            client=self._client,
            control_channel=self.control,
        )
        try:
            await manager.cancel(flow_run)
        finally:
            if done := self._cancelling.get(flow_run.id):
                done.set()

    async def end(self, flow_run_id: UUID) -> bool:
        """End an engine whose run is to be handed back. False: the engine had concluded the run by itself."""
        if self.processes.get(flow_run_id) is None:
            self.settle(flow_run_id)
            return True
        told = await self.control.signal(flow_run_id, "reschedule")
        if told is not ControlSignalStatus.ALREADY_CONCLUDED:
            self.settle(flow_run_id)
        # An engine that did not hear why it is ended would report a crash on SIGTERM: it gets no chance to.
        silent = told is ControlSignalStatus.NOT_ACKNOWLEDGED
        # The whole process group goes, what the flow started included, before another worker begins the run anew.
        await self.processes.kill(flow_run_id, KILL_GRACE_SECONDS, force=silent)
        return told is not ControlSignalStatus.ALREADY_CONCLUDED

    async def never_reached_the_api(self, flow_run_id: UUID) -> bool:
        """Whether the engine died before its run began, while the API was away: to be run again, not a crash."""
        flow_run = await self._client.read_flow_run(flow_run_id)
        begun = self._begun_at.get(flow_run_id, float("inf"))
        return bool(flow_run.state and flow_run.state.is_pending() and self._health.last_problem_at > begun)

    async def infer_status(self, flow_run_id: UUID) -> int:
        """The status of an engine whose end nobody saw, since its fork server died before: by what the API was told."""
        try:
            state = (await self._client.read_flow_run(flow_run_id)).state
        except ObjectNotFound:
            return os.EX_OK
        left_behind = state is None or state.is_pending() or state.is_running()
        _log.warning("Flow run %s: its engine's status is unknown; its state is %s", flow_run_id, state and state.name)
        return os.EX_SOFTWARE if left_behind else os.EX_OK

    async def propose_again(self, flow_run_id: UUID, reason: str, after: timedelta = timedelta(0)) -> bool:
        """Give the run back to Prefect, to be run again by any worker. False: its state does not allow that."""
        flow_run = await self._client.read_flow_run(flow_run_id)
        if flow_run.state is None or flow_run.state.is_final():
            return True
        if flow_run.state.is_cancelling():
            return await self._proposer.propose_cancelled(flow_run, {"message": "Cancelled while its worker stopped."})
        try:
            again: State[None] = AwaitingRetry(message=reason, scheduled_time=datetime.now(UTC) + after)
            state = await propose_state(self._client, again, flow_run_id=flow_run_id)
        except Abort as abort:
            _log.error("Flow run %s could not be handed back: %s", flow_run_id, abort)
            return False
        return state.is_scheduled()

    async def _forget(self, flow_run_id: UUID) -> None:
        self.control.unregister(flow_run_id)
