"""Flows that are handed to the worker itself (`worker.submit`): as any run here, in a domain and a folder of their own.

Prefect's own worker runs a pickled flow as a child of its own process. Here Prefect's own program for such bundles runs
it, as the command of an ordinary run.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import anyio
from prefect.bundles import create_bundle_for_flow_run
from prefect.client.schemas.objects import Flow as FlowRecord
from prefect.utilities.processutils import command_to_string

if TYPE_CHECKING:
    from prefect.client.schemas.objects import FlowRun
    from prefect.flows import Flow
    from prefect.workers.process import ProcessJobConfiguration

    from worker.process_worker import HublabWorker


async def execute(
    worker: HublabWorker, flow: Flow[..., Any], job_variables: dict[str, Any] | None, flow_run: FlowRun
) -> None:
    """Run the flow to its end, as the given flow run."""
    configuration = await _configuration(worker, flow, job_variables, flow_run)
    async with worker.workplace.open(configuration.working_dir) as place:
        file = f"{place.own['TMPDIR']}/bundle.json"
        await anyio.Path(file).write_text(json.dumps(create_bundle_for_flow_run(flow, flow_run)["bundle"]))
        configuration.command = command_to_string([sys.executable, "-m", "prefect.bundles.execute", "--key", file])
        configuration._command_configured = True  # noqa: SLF001 - so that it is not forked
        await worker.engines.execute(flow_run, configuration, place, anyio.TASK_STATUS_IGNORED)


async def _configuration(
    worker: HublabWorker, flow: Flow[..., Any], job_variables: dict[str, Any] | None, flow_run: FlowRun
) -> ProcessJobConfiguration:
    """The pool's, as Prefect's own worker makes it."""
    configuration: ProcessJobConfiguration = await worker.job_configuration.from_template_and_values(
        base_job_template=worker.work_pool.base_job_template, values=job_variables or {}, client=worker.client
    )
    configuration.prepare_for_flow_run(
        flow_run=flow_run,
        flow=FlowRecord(id=flow_run.flow_id, name=flow.name, labels={}),
        work_pool=worker.work_pool,
        worker_name=worker.name,
        worker_id=worker.backend_id,
    )
    return configuration
