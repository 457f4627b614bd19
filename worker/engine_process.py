"""One engine's process: forked or spawned, where its output goes, what it sees of the worker, and its session."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from typing import TYPE_CHECKING, cast

import anyio
from prefect.runner._process_manager import ProcessHandle, create_isolated_termination_scope
from prefect.utilities.processutils import command_from_string

from worker import engine_patience
from worker.forked_engine import Order
from worker.forked_process import ForkedProcess
from worker.launcher import COMMAND, order

if TYPE_CHECKING:
    from anyio.abc import ByteSendStream, Process, TaskStatus
    from prefect.client.schemas.objects import FlowRun
    from prefect.workers.process import ProcessJobConfiguration

    from worker.engines import Engines
    from worker.workplace import Place


class HandedBackError(Exception):
    """The run was handed back before its engine was started."""


class EngineStarter:
    """Starts one engine; the `ProcessStarter` that Prefect's executor asks for."""

    def __init__(self, engines: Engines, configuration: ProcessJobConfiguration, place: Place) -> None:
        """Start it with this configuration in this place."""
        self._engines = engines
        self._configuration = configuration
        self._place = place

    async def start(
        self, flow_run: FlowRun, task_status: TaskStatus[ProcessHandle] = anyio.TASK_STATUS_IGNORED
    ) -> None:
        """Start the engine, report its handle, and wait until it has ended."""
        environment = self._environment(flow_run)
        async with await self._begin(flow_run, environment) as process:
            # Prefect's handle asks no more of it than both have.
            handle = ProcessHandle(cast("Process", process), create_isolated_termination_scope(process.pid))
            task_status.started(handle)
            await process.wait()
            if process.returncode == engine_patience.NOT_MINE:
                self._engines.reports.settle(flow_run.id)
            if isinstance(process, ForkedProcess) and process.returncode is None:
                process.returncode = await self._engines.reports.infer_status(flow_run.id)

    async def _begin(self, flow_run: FlowRun, environment: dict[str, str]) -> Process | ForkedProcess:
        if self._can_be_forked():
            order = Order(
                flow_run=str(flow_run.id),
                environment=environment,
                own=self._place.variables(environment),
                domain=self._place.domain,
                cwd=str(self._place.cwd),
                silent=not self._configuration.stream_output,
                known=await self._engines.knowledge.for_engine(flow_run),
            )
            if process := await self._engines.fork_server.fork(order, lambda: not self._is_settled(flow_run)):
                return process
        if self._is_settled(flow_run):
            raise HandedBackError(str(flow_run.id))
        return await self._spawn(environment)

    def _is_settled(self, flow_run: FlowRun) -> bool:
        return self._engines.reports.is_settled(flow_run.id)

    def _can_be_forked(self) -> bool:
        """Whether nobody asked for another command. What a variable may stand against, the fork server knows."""
        return not self._configuration._command_configured  # noqa: SLF001 - as in Prefect's own process worker

    async def _spawn(self, environment: dict[str, str]) -> Process:
        output = None if self._configuration.stream_output else subprocess.DEVNULL
        process = await anyio.open_process(
            COMMAND, stdout=output, stderr=output, cwd=self._place.cwd, start_new_session=True
        )
        command = [sys.executable, engine_patience.__file__, "prefect.engine", environment["PREFECT__FLOW_RUN_ID"]]
        if not self._can_be_forked():
            command = command_from_string(str(self._configuration.command))
        environment |= self._place.variables(environment)
        with contextlib.suppress(anyio.BrokenResourceError):  # it has ended; its status will say so
            await cast("ByteSendStream", process.stdin).send(order(command, environment, self._place.domain))
        await cast("ByteSendStream", process.stdin).aclose()
        return process

    def _environment(self, flow_run: FlowRun) -> dict[str, str]:
        environment = {key: value for key, value in self._configuration.env.items() if value is not None}
        environment["PREFECT__FLOW_RUN_ID"] = str(flow_run.id)
        if self._can_be_forked():
            environment[engine_patience.CLAIM] = self._engines.claim
        environment["PREFECT__ENABLE_CANCELLATION_AND_CRASHED_HOOKS"] = "false"  # they are run by HookProcess
        # An engine that somebody's own command starts knows nothing of the socket: a cancellation is a plain SIGTERM.
        if self._can_be_forked():
            environment |= self._engines.control.variables(flow_run.id)
        return environment
