"""Runs that bring packages of their own: PREFECT_RUNNER_AUTO_INSTALL_DEPENDENCIES has them start as by Prefect itself.

Prefect's supervisor prepares the run's folder, looks for a `pyproject.toml` that wants Prefect, and starts the engine
by `uv run` where there is one. That takes one process more, and the packages come from an index.
"""

from __future__ import annotations

import logging
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from prefect.runner._workspace_runtime import WorkspaceSupervisorConfig, write_private_model
from prefect.settings import get_current_settings
from prefect.utilities.processutils import command_to_string

if TYPE_CHECKING:
    from prefect.client.schemas.objects import FlowRun
    from prefect.workers.process import ProcessJobConfiguration

    from worker.workplace import Place

_log = logging.getLogger("prefect.hublab")

SETTING = "PREFECT_RUNNER_AUTO_INSTALL_DEPENDENCIES"


def warn() -> None:
    """Say so where the worker's own setting asks for what cannot be had."""
    if get_current_settings().runner.auto_install_dependencies and not shutil.which("uv"):
        _log.warning("%s: set, but uv is not on PATH, so runs start with the release's packages. Unset it", SETTING)


def is_wanted(configuration: ProcessJobConfiguration) -> bool:
    """Whether the run's environment asks for it, and nobody for another command."""
    asked = (configuration.env.get(SETTING) or "").lower() in {"1", "true", "t", "yes", "y", "on"}
    return asked and not configuration._command_configured  # noqa: SLF001 - as in Prefect's own process worker


def supervise(flow_run: FlowRun, configuration: ProcessJobConfiguration, place: Place) -> Path:
    """Make the configuration's command the supervisor's. Returns where that will note how to start the run's Python."""
    folder = tempfile.mkdtemp(prefix="prefect-workspace-", dir=place.own["TMPDIR"])
    order, manifest = Path(folder, "supervisor.json"), Path(folder, "workspace.json")
    config = WorkspaceSupervisorConfig(flow_run_id=flow_run.id, workspace_root=place.cwd, manifest_path=manifest)
    write_private_model(order, config)
    command = [sys.executable, "-m", "prefect.runner._workspace_supervisor", str(order)]
    configuration.command = command_to_string(command)
    configuration._command_configured = True  # noqa: SLF001 - so that it is not forked
    return manifest
