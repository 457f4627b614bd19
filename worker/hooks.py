"""Runs a flow's `on_cancellation` and `on_crashed` hooks in a process of their own: `python -m worker.hooks KIND`.

Loading a flow imports the customer's modules. In the worker's own process one `uvloop.install()` among them would crash
every later flow run.

Which run, and the state that they are called for, come by standard input: at Prefect the run may have moved on by then,
or be deleted.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from prefect.client.schemas.objects import FlowRun, State

_log = logging.getLogger("prefect.hublab")

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
            await self._run("cancellation", flow_run, state)

    async def run_crashed_hooks(self, flow_run: FlowRun, state: State) -> None:
        """Run the flow's `on_crashed` hooks."""
        if state.is_crashed():
            await self._run("crashed", flow_run, state)

    async def _run(self, kind: Kind, flow_run: FlowRun, state: State) -> None:
        """Run them; one that fails, or cannot be started, takes nothing with it."""
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-P",  # a run may have put a module named `worker` into its folder
                "-m",
                "worker.hooks",
                kind,
                env={**self._environment, "PREFECT__FLOW_RUN_ID": str(flow_run.id)},
                cwd=self._cwd,
                stdin=subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as error:
            _log.error("Flow run %s: its on_%s hooks could not be started: %s", flow_run.id, kind, error)
            return
        called_for = flow_run.model_copy(update={"state": state})
        try:
            await process.communicate(called_for.model_dump_json().encode())
        finally:
            if process.returncode is None:  # the drain's limit has passed
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
        if process.returncode:
            _log.error("Flow run %s: its on_%s hooks ended with status %d", flow_run.id, kind, process.returncode)


async def run(kind: Kind, told: str) -> None:
    """Load the flow of this run and run its hooks.

    Args:
        kind: which of them.
        told: the run as JSON, in the state that they are called for, whatever has become of it at Prefect.
    """
    from prefect.client.schemas.objects import FlowRun  # noqa: PLC0415 - the worker imports this module too
    from prefect.flows import load_flow_from_flow_run  # noqa: PLC0415
    from prefect.logging.handlers import APILogHandler  # noqa: PLC0415
    from prefect.runner._hook_runner import HookRunner  # noqa: PLC0415

    from worker import engine_patience  # noqa: PLC0415

    engine_patience.install()
    flow_run = FlowRun.model_validate_json(told)
    if flow_run.state is None:
        raise ValueError(f"flow run {flow_run.id}: no state to run hooks for")
    runner = HookRunner(resolve_flow=load_flow_from_flow_run)
    if kind == "cancellation":
        await runner.run_cancellation_hooks(flow_run, flow_run.state)
    else:
        await runner.run_crashed_hooks(flow_run, flow_run.state)
    await APILogHandler.aflush()


if __name__ == "__main__":
    sys.path.insert(0, str(Path.cwd()))  # as the engine has it, for the flow's own modules
    asyncio.run(run("cancellation" if sys.argv[1] == "cancellation" else "crashed", sys.stdin.read()))
