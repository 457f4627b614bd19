"""Flows that are handed to the worker itself (`worker.submit`): as any run here, in a domain and a folder of their own.

Prefect's worker hands a pickled flow to a `Runner` that it keeps all its life. Here Prefect's own program for such
bundles runs it, as the command of an ordinary run.
"""

from __future__ import annotations

import copy
import json
import sys
from typing import TYPE_CHECKING, Any

import anyio
from prefect.client.schemas.objects import FlowRun
from prefect.utilities.processutils import command_to_string
from prefect.workers.process import ProcessJobConfiguration, ProcessWorker

if TYPE_CHECKING:
    from prefect.flows import Flow

    from worker.process_worker import HublabWorker


async def execute(
    worker: HublabWorker,
    flow: Flow[..., Any],
    parameters: dict[str, Any] | None,
    job_variables: dict[str, Any] | None,
    flow_run: FlowRun,
) -> None:
    """Run the flow to its end, as the given flow run."""
    submitter: Any = copy.copy(worker)  # it finds its runner in an attribute
    submitter._runner = _Bundles(worker)  # noqa: SLF001
    submit = ProcessWorker._submit_adhoc_run  # noqa: SLF001
    await submit(submitter, flow, parameters, job_variables, flow_run=flow_run)


class _Bundles:
    """What Prefect asks of a `Runner` here."""

    def __init__(self, worker: HublabWorker) -> None:
        self._worker = worker

    async def execute_bundle(self, bundle: dict[str, Any], cwd: str | None, env: dict[str, str | None]) -> None:
        """Run what is in the bundle to its end."""
        async with self._worker.workplace.open(cwd) as place:
            file = f"{place.own['TMPDIR']}/bundle.json"
            await anyio.Path(file).write_text(json.dumps(bundle))
            command = command_to_string([sys.executable, "-m", "prefect.bundles.execute", "--key", file])
            configuration = ProcessJobConfiguration(command=command, env=env)
            configuration._command_configured = True  # noqa: SLF001 - so that it is not forked
            flow_run = FlowRun.model_validate(bundle["flow_run"])
            await self._worker.engines.execute(flow_run, configuration, place, anyio.TASK_STATUS_IGNORED)
