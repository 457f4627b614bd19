"""One engine's process: where its output goes, what it sees of the worker, and which session it is in."""

from __future__ import annotations

import contextlib
import subprocess
from typing import TYPE_CHECKING

import anyio
from prefect.runner._process_manager import ProcessHandle, create_isolated_termination_scope
from prefect.utilities.processutils import command_from_string

if TYPE_CHECKING:
    from pathlib import Path

    from anyio.abc import TaskStatus
    from prefect.client.schemas.objects import FlowRun
    from prefect.workers.process import ProcessJobConfiguration

    from worker.engines import Engines


class HandedBackError(Exception):
    """The run was handed back before its engine was started."""


class EngineStarter:
    """Starts one engine; the `ProcessStarter` that Prefect's executor asks for."""

    def __init__(self, engines: Engines, configuration: ProcessJobConfiguration, cwd: Path) -> None:
        """Start it with this configuration in this folder."""
        self._engines = engines
        self._configuration = configuration
        self._cwd = cwd

    async def start(
        self, flow_run: FlowRun, task_status: TaskStatus[ProcessHandle] = anyio.TASK_STATUS_IGNORED
    ) -> None:
        """Start the engine, report its handle, and wait until it has ended."""
        if self._engines.is_settled(flow_run.id):
            raise HandedBackError(str(flow_run.id))
        output = None if self._configuration.stream_output else subprocess.DEVNULL
        process = await anyio.open_process(
            command_from_string(str(self._configuration.command)),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=self._cwd,
            env=self._environment(flow_run),
            start_new_session=True,
        )
        async with process:
            task_status.started(ProcessHandle(process, create_isolated_termination_scope(process.pid)))
            await process.wait()

    def _environment(self, flow_run: FlowRun) -> dict[str, str]:
        environment = {key: value for key, value in self._configuration.env.items() if value is not None}
        environment["PREFECT__FLOW_RUN_ID"] = str(flow_run.id)
        environment["PREFECT__ENABLE_CANCELLATION_AND_CRASHED_HOOKS"] = "false"  # they are run by HookProcess
        # RuntimeError: no loopback listener; then a cancellation is a plain SIGTERM.
        with contextlib.suppress(RuntimeError):
            port, token = self._engines.control.register(flow_run.id)
            environment |= {"PREFECT__CONTROL_PORT": str(port), "PREFECT__CONTROL_TOKEN": token}
        return environment
