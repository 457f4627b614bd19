"""A run of each deployment loads in Prefect's own engine process, from the module path alone, as on a worker host."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from flows.services.prefect_api import Prefect

if TYPE_CHECKING:
    from prefect.client.schemas.objects import FlowRun

    from tests.flows.world import World

RELEASE = Path(__file__).parents[2]


def engine(run: FlowRun, folder: Path) -> str:
    """Run it as a worker does, with the release on the path; the name of its state."""
    with Prefect() as prefect:
        from prefect.states import Scheduled  # noqa: PLC0415

        prefect.client.set_flow_run_state(run.id, Scheduled(), force=True)
    environment = os.environ | {"PREFECT__FLOW_RUN_ID": str(run.id), "PYTHONPATH": str(RELEASE)}
    done = subprocess.run(
        [sys.executable, "-m", "prefect.engine"],
        cwd=folder,
        env=environment,
        timeout=90,
        check=False,
        capture_output=True,
        text=True,
    )
    with Prefect() as prefect:
        state = prefect.client.read_flow_run(run.id).state
    assert state, done.stderr
    assert "ntn_standin_token" not in done.stdout + done.stderr
    assert "re_standin_key" not in done.stdout + done.stderr
    return f"{state.name}: {state.message}"


def test_a_handler_and_a_mail_run_in_prefects_own_engine(world: World, tmp_path: Path) -> None:
    payload = world.payload("noshow")
    assert engine(world.enrol("noshow", payload), tmp_path).startswith("Completed: 3 mails of noshow")
    first, second, _ = world.mails(payload["email"])
    assert engine(first, tmp_path).startswith("Completed: noshow_recovery_email_1 sent")
    world.notion_fault("refuse", path="/pages/", times=None)
    world.setenv("HUBLAB_RETRY_SECONDS", "0")
    assert engine(second, tmp_path).startswith("AwaitingRetry: postponed")
    assert len(world.accepted(payload["email"])) == 1
