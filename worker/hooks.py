"""Runs a flow's `on_cancellation` and `on_crashed` hooks in a process of their own: `python -P -m worker.hooks KIND`.

Loading a flow imports the customer's modules. In the worker's own process one `uvloop.install()` among them would crash
every later flow run. The process has a domain as the run had.

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

from worker.launcher import COMMAND, ISOLATED, order

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from prefect.client.schemas.objects import FlowRun, State
    from prefect.runner._hook_runner import FlowRunHookRunner

    from worker.workplace import Place

_log = logging.getLogger("prefect.hublab")

Kind = Literal["cancellation", "crashed"]


class HookProcess:
    """The `FlowRunHookRunner` that Prefect's executor asks for, for one run."""

    def __init__(self, environment: Mapping[str, str | None], place: Place, manifest: Path | None = None) -> None:
        """Hooks see the environment and the folders that their flow saw.

        Args:
            environment: the run's.
            place: the run's.
            manifest: of a run that brings packages of its own, where its supervisor has noted how to start a Python.
        """
        plain = {key: value for key, value in environment.items() if value is not None}
        self._environment = plain | place.variables(plain)
        self._place = place
        self._manifest = [str(manifest)] if manifest else []

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
        environment = {**self._environment, "PREFECT__FLOW_RUN_ID": str(flow_run.id)}
        command = [sys.executable, *ISOLATED, "-m", "worker.hooks", kind, *self._manifest]
        called_for = flow_run.model_copy(update={"state": state}).model_dump_json()
        try:
            process = await asyncio.create_subprocess_exec(
                *COMMAND, cwd=self._place.cwd, stdin=subprocess.PIPE, start_new_session=True
            )
        except OSError as error:
            _log.error("Flow run %s: its on_%s hooks could not be started: %s", flow_run.id, kind, error)
            return
        try:
            await process.communicate(order(command, environment, self._place.domain, called_for))
        finally:
            if process.returncode is None:  # the drain's limit has passed
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
        if process.returncode:
            _log.error("Flow run %s: its on_%s hooks ended with status %d", flow_run.id, kind, process.returncode)


async def run(kind: Kind, told: str, manifest: Sequence[str] = ()) -> None:
    """Load the flow of this run and run its hooks.

    Args:
        kind: which of them.
        told: the run as JSON, in the state that they are called for, whatever has become of it at Prefect.
        manifest: its path; the run wrote it, so that it is believed in the run's domain alone.
    """
    from prefect.client.schemas.objects import FlowRun  # noqa: PLC0415 - the worker imports this module too
    from prefect.flows import load_flow_from_flow_run  # noqa: PLC0415
    from prefect.logging.handlers import APILogHandler  # noqa: PLC0415
    from prefect.runner._hook_runner import HookRunner  # noqa: PLC0415
    from prefect.runner._workspace_hook_runner import WorkspaceHookRunner  # noqa: PLC0415

    from worker import engine_patience  # noqa: PLC0415

    engine_patience.install()
    flow_run = FlowRun.model_validate_json(told)
    if flow_run.state is None:
        raise ValueError(f"flow run {flow_run.id}: no state to run hooks for")
    _give_way()
    runner: FlowRunHookRunner = HookRunner(resolve_flow=load_flow_from_flow_run)
    if manifest:
        runner = WorkspaceHookRunner(manifest_path=Path(manifest[0]), stream_output=True)
    if kind == "cancellation":
        await runner.run_cancellation_hooks(flow_run, flow_run.state)
    else:
        await runner.run_crashed_hooks(flow_run, flow_run.state)
    await APILogHandler.aflush()


def _give_way() -> None:
    """Let the flow find its own modules, also one that is named as the worker's."""
    if not os.environ.get("PYTHONSAFEPATH"):
        sys.path.insert(0, str(Path.cwd()))
    for name in list(sys.modules):
        if name == "worker" or name.startswith("worker."):
            del sys.modules[name]


if __name__ == "__main__":
    asyncio.run(run("cancellation" if sys.argv[1] == "cancellation" else "crashed", sys.stdin.read(), sys.argv[2:]))
