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
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import anyio
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterId,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import StateType
from prefect.events.clients import EventsClient
from prefect.events.worker import EventsWorker
from prefect.runner._cancellation_manager import CancellationManager
from prefect.runner._control_channel import ControlSignalStatus
from prefect.runner._event_emitter import EventEmitter
from prefect.runner._flow_run_executor import FlowRunExecutor
from prefect.runner._process_manager import ProcessHandle, ProcessManager

from worker import workspace
from worker.control_channel import ControlChannel
from worker.engine_process import EngineStarter
from worker.forked_process import ForkedProcess
from worker.hooks import HookProcess
from worker.known import Knowledge
from worker.reports import Reports

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from contextlib import AsyncExitStack
    from uuid import UUID

    from anyio.abc import TaskStatus
    from prefect.client.orchestration import PrefectClient
    from prefect.client.schemas.objects import FlowRun
    from prefect.events.schemas.events import Event
    from prefect.runner._hook_runner import FlowRunHookRunner
    from prefect.workers.process import ProcessJobConfiguration

    from worker.forking import ForkServer
    from worker.patience import ApiHealth
    from worker.workplace import Place

_log = logging.getLogger("prefect.hublab")

KILL_GRACE_SECONDS = 10.0
"""Between SIGTERM and SIGKILL for a run that is handed back."""


_UNPROXIED = ("no_proxy", "NO_PROXY")


def with_variables(environment: Mapping[str, str | None], variables: Mapping[str, str]) -> dict[str, str | None]:
    """A run's environment with the operator's variables: they beat the worker's own, and the run's own beat them.

    Where a proxy is among them, Prefect's API is not asked by it: the worker asks none, and a run would be cut off.
    """
    own = {key: value for key, value in environment.items() if os.environ.get(key) != value or value is None}
    found = {**environment, **variables, **own}
    proxied = any(name.lower().endswith("_proxy") for name, value in found.items() if value)
    return found | (_beside_the_proxy(found) if proxied else {})


def _beside_the_proxy(environment: Mapping[str, str | None]) -> dict[str, str]:
    """What is asked without it, the API's host among it, in both spellings: some programs read one, some the other."""
    api = urlsplit(environment.get("PREFECT_API_URL") or "").hostname or ""
    found = {}
    for name, other in zip(_UNPROXIED, reversed(_UNPROXIED), strict=True):
        hosts = [host.strip() for host in (environment.get(name, environment.get(other)) or "").split(",")]
        found[name] = ",".join(filter(None, [*hosts, *([] if {api, "*"} & {*hosts} else [api])]))
    return found


class _QueuedEvents(EventsClient):
    """Leaves events to Prefect's thread for them, which nobody here waits for; the emitter's own client would block."""

    async def _emit(self, event: Event) -> None:
        EventsWorker.instance().send(event)


class Engines:
    """All engines of one worker."""

    def __init__(
        self,
        client: PrefectClient,
        health: ApiHealth,
        fork_server: ForkServer,
        variables: Mapping[str, str],
        claim: str = "",
    ) -> None:
        """None yet.

        Args:
            client: patient; by it they report to Prefect.
            health: what is known of the API.
            fork_server: where they come from.
            variables: what each finds in its environment, unless its deployment says otherwise.
            claim: what a run's state must still say.
        """
        self.claim = claim
        self._variables = variables
        self.knowledge = Knowledge(client)
        setattr(client, "update_flow_run", self._but_forked(client.update_flow_run))  # noqa: B010 - a method of it
        self._client = client
        self.fork_server = fork_server
        self.reports = Reports(client, health, claim)
        self._hooks: dict[UUID, FlowRunHookRunner] = {}
        self._cancelling: dict[UUID, anyio.Event] = {}
        self.control = ControlChannel()
        self.processes = ProcessManager(on_remove=self._forget)
        self._emitter = EventEmitter(runner_name="standalone", client=client, get_events_client=_QueuedEvents)

    def _but_forked(self, update: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[None]]:
        """What Prefect's worker tells of each run, its process id, forked engines tell by themselves."""

        async def tell(flow_run_id: UUID, **told: Any) -> None:
            handle = self.processes.get(flow_run_id)
            if handle is None or not isinstance(handle._process, ForkedProcess):  # noqa: SLF001 - as in engine_process
                await update(flow_run_id, **told)

        return tell

    async def enter(self, stack: AsyncExitStack) -> None:
        """Open what the engines need, to be closed by `stack`."""
        for part in (self.processes, self._emitter, self.control):
            await stack.enter_async_context(part)

    def forget(self, flow_run_id: UUID) -> None:
        """The run is no longer this worker's."""
        self._hooks.pop(flow_run_id, None)
        self.reports.forget(flow_run_id)
        self._cancelling.pop(flow_run_id, None)

    async def execute(
        self, flow_run: FlowRun, configuration: ProcessJobConfiguration, place: Place, task_status: TaskStatus[int]
    ) -> tuple[int, int]:
        """Run the engine to its end. Returns its process id and its status; 0 when it has told Prefect its outcome."""
        configuration.env = with_variables(configuration.env, self._variables)
        manifest = workspace.supervise(flow_run, configuration, place) if workspace.is_wanted(configuration) else None
        self._hooks[flow_run.id] = hooks = HookProcess(configuration.env, place, manifest)
        self.reports.begin(flow_run.id)
        executor = FlowRunExecutor(
            flow_run=flow_run,
            starter=EngineStarter(self, configuration, place),
            process_manager=self.processes,
            state_proposer=self.reports,
            hook_runner=hooks,
            get_attempt_conclusion=self.control.get_conclusion,
            propose_submitting=False,
        )
        return await self._await_end(flow_run, executor, task_status)

    async def _await_end(
        self, flow_run: FlowRun, executor: FlowRunExecutor, task_status: TaskStatus[int]
    ) -> tuple[int, int]:
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
        """Prefect's own sequence: tell the engine, end it, run the hooks, set the state. Nothing is raised."""
        try:
            manager = CancellationManager(
                process_manager=self.processes,
                hook_runner=self._hooks[flow_run.id],
                state_proposer=self.reports,
                event_emitter=self._emitter,
                client=self._client,
                control_channel=self.control,
            )
            await manager.cancel(flow_run)
        except Exception:  # noqa: BLE001 - it concerns this run, and the caller's task group owns the worker's loops
            _log.exception("Flow run %s: its cancellation could not be seen to", flow_run.id)
        finally:
            if done := self._cancelling.get(flow_run.id):
                done.set()
            if self.processes.get(flow_run.id):
                self._cancelling.pop(flow_run.id, None)  # it runs on: to be cancelled with the next look

    async def end(self, flow_run_id: UUID) -> bool:
        """End an engine whose run is to be handed back. False: the engine had concluded the run by itself."""
        if self.processes.get(flow_run_id) is None:
            self.reports.settle(flow_run_id)
            return True
        told = await self.control.signal(flow_run_id, "reschedule")
        if told is not ControlSignalStatus.ALREADY_CONCLUDED:
            self.reports.settle(flow_run_id)
        # An engine that did not hear why it is ended would report a crash on SIGTERM: it gets no chance to.
        silent = told is ControlSignalStatus.NOT_ACKNOWLEDGED
        # The whole process group goes, what the flow started included, before another worker begins the run anew.
        await self.processes.kill(flow_run_id, KILL_GRACE_SECONDS, force=silent)
        return told is not ControlSignalStatus.ALREADY_CONCLUDED

    async def _forget(self, flow_run_id: UUID) -> None:
        self.control.unregister(flow_run_id)
