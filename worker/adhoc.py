"""Flows that are handed to the worker itself (`worker.submit`), in Prefect's own way: by a `Runner`.

Prefect's worker keeps one `Runner` for them all its life, with a websocket that asks for an API that is there. Here
each of these runs has its own, since there are next to none of them.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from prefect.runner.runner import Runner
from prefect.workers.process import ProcessWorker

if TYPE_CHECKING:
    from prefect.client.schemas.objects import FlowRun
    from prefect.flows import Flow


async def execute(
    worker: ProcessWorker,
    flow: Flow[..., Any],
    parameters: dict[str, Any] | None,
    job_variables: dict[str, Any] | None,
    flow_run: FlowRun,
) -> None:
    """Run the flow to its end, as the given flow run."""
    async with Runner(pause_on_shutdown=False, limit=None) as runner:
        submitter = copy.copy(worker)  # it finds its runner in an attribute
        submitter._runner = runner  # noqa: SLF001
        submit = ProcessWorker._submit_adhoc_run  # noqa: SLF001
        await submit(submitter, flow, parameters, job_variables, flow_run=flow_run)
