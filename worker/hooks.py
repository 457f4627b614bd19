"""Runs a flow's `on_cancellation` and `on_crashed` hooks in a process of their own: `python -m worker.hooks KIND`.

Loading a flow imports the customer's modules. In the worker's own process one `uvloop.install()` among them would crash
every later flow run.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Literal
from uuid import UUID

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from prefect.client.schemas.objects import FlowRun, State

Kind = Literal["cancellation", "crashed"]


class HookProcess:
    """The `FlowRunHookRunner` that Prefect's executor asks for, for one run."""

    def __init__(self, environment: Mapping[str, str | None], cwd: Path) -> None:
        """Hooks see the environment and the folder that their flow saw."""
        self._environment = {key: value for key, value in environment.items() if value is not None}
        self._cwd = cwd

    async def run_cancellation_hooks(self, flow_run: FlowRun, state: State) -> None:
        """Run the flow's `on_cancellation` hooks."""
        if state.is_cancelling():
            await self._run("cancellation", flow_run)

    async def run_crashed_hooks(self, flow_run: FlowRun, state: State) -> None:
        """Run the flow's `on_crashed` hooks."""
        if state.is_crashed():
            await self._run("crashed", flow_run)

    async def _run(self, kind: Kind, flow_run: FlowRun) -> None:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "worker.hooks",
            kind,
            env={**self._environment, "PREFECT__FLOW_RUN_ID": str(flow_run.id)},
            cwd=self._cwd,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        await process.wait()


async def run(kind: Kind, flow_run_id: UUID) -> None:
    """Load the flow of this run and run its hooks."""
    from prefect.client.orchestration import get_client  # noqa: PLC0415 - the worker imports this module too
    from prefect.flows import load_flow_from_flow_run  # noqa: PLC0415
    from prefect.logging.handlers import APILogHandler  # noqa: PLC0415
    from prefect.runner._hook_runner import HookRunner  # noqa: PLC0415
    from prefect.states import Cancelling, Crashed  # noqa: PLC0415

    async with get_client() as client:
        flow_run = await client.read_flow_run(flow_run_id)
    runner = HookRunner(resolve_flow=load_flow_from_flow_run)
    if kind == "cancellation":
        await runner.run_cancellation_hooks(flow_run, Cancelling())
    else:
        await runner.run_crashed_hooks(flow_run, flow_run.state or Crashed())
    await APILogHandler.aflush()


if __name__ == "__main__":
    asyncio.run(
        run("cancellation" if sys.argv[1] == "cancellation" else "crashed", UUID(os.environ["PREFECT__FLOW_RUN_ID"]))
    )
