"""The campaign's own checks as a condition of a deploy: asked once for all hosts, before anything is changed."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import cache
from typing import TYPE_CHECKING

from pyinfra.api import DeployError

from deploy import campaigns
from deploy.env_file import ROOT

if TYPE_CHECKING:
    from deploy.secret import Secret
    from deploy.spec import WorkerHost

LIMIT_SECONDS = 300


def demand(wanted: WorkerHost, *, switches: bool) -> None:
    """Lets a deploy go on when the campaign files can be used, and preflight has nothing to say or is not asked for.

    Args:
        wanted: the host or application.
        switches: its release becomes another; else the files are those that serve there.

    Raises:
        DeployError: with what is wrong with a file, or the rows that are not as they must be.
    """
    if switches and (fault := unusable()):
        raise DeployError(f"campaign files: {fault} -> put it right: every flow reads all of them, and would fail")
    if wanted.preflight and (complaint := ask(wanted.api_url, wanted.work_pool, wanted.auth_string, wanted.api_key)):
        raise DeployError(
            f"HUBLAB_PREFLIGHT: required, and the campaign is not ready (HUBLAB_PREFLIGHT=off in {wanted.env_file} "
            f"deploys without it):\n{complaint}"
        )


@cache
def unusable() -> str:
    """Why no flow of this release could read its campaign files, by a process of its own; empty when each could."""
    done = _run("flows.campaigns")
    return done.stderr.strip() if done.returncode else ""


@cache
def ask(api_url: str, pool: str, auth: Secret | None, key: Secret | None) -> str:
    """What is wrong, by `python -m flows.operator.preflight` in a process of its own; empty when nothing is."""
    credentials = {"PREFECT_API_AUTH_STRING": auth, "PREFECT_API_KEY": key}
    environment = {name: value.reveal() for name, value in credentials.items() if value}
    command = ("flows.operator.preflight", "--pool", pool)
    try:
        done = _run(*command, timeout=LIMIT_SECONDS, PREFECT_API_URL=api_url, **environment)
    except subprocess.TimeoutExpired:
        return f"it did not end within {LIMIT_SECONDS} s"
    if done.returncode == 0:
        return ""
    rows = [line for line in done.stdout.splitlines() if line.startswith("FAIL")]
    return "\n".join(rows or done.stderr.strip().splitlines()[-1:] or [f"status {done.returncode}"])


def _run(*command: str, timeout: float | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    """A module of the flows' in a process of its own, with the operator's campaign files."""
    return subprocess.run(
        [sys.executable, "-m", *command],
        cwd=ROOT,
        env=os.environ | {campaigns.KEY: str(campaigns.folder() or "")} | environment,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
