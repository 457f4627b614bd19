"""What can be proven of a worker in a container of Coolify's: by its API, and by a flow run of that very worker."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from deploy.coolify import revision
from tests.infra.application import seen

if TYPE_CHECKING:
    from deploy.coolify.answers import Application
    from deploy.coolify.state import ApplicationState
    from deploy.spec import WorkerHost

ROOT = Path(__file__).resolve().parents[2]
SECRETS = {"PREFECT_API_AUTH_STRING", "PREFECT_API_KEY"}


@pytest.fixture
def there(application: WorkerHost) -> ApplicationState:
    return seen(application)


def test_worker_that_is_told_to_stop_gets_the_time_of_its_drain(application: WorkerHost, app: Application) -> None:
    assert app.settings.stop_grace_period > application.drain_seconds + 20


def test_gate_is_the_health_check(app: Application) -> None:
    """Without one Coolify takes any container that starts for a good one."""
    assert app.health_check_enabled
    assert (app.health_check_type, app.health_check_command) == ("cmd", "python -m worker.healthy")


def test_old_worker_stays_until_the_new_one_is_healthy(app: Application) -> None:
    """Host ports or a fixed name have Coolify stop the old one first."""
    assert app.ports_mappings == ""
    assert not app.settings.is_consistent_container_name_enabled
    assert app.settings.custom_internal_name == ""
    assert app.additional_servers_count == 0


def test_container_has_no_capability(app: Application) -> None:
    options = app.custom_docker_run_options.split()
    assert options == ["--cap-drop=ALL", "--init"]


def test_memory_is_bounded(app: Application) -> None:
    assert app.limits_memory not in ("", "0")


def test_secrets_are_shown_to_nobody_and_no_part_of_an_image(there: ApplicationState) -> None:
    secrets = [item for item in there.variables if item.key in SECRETS]
    for item in secrets:
        assert item.is_shown_once, f"{item.key} can be read in Coolify (preview: {item.is_preview})"
        assert item.is_literal
        assert not item.is_buildtime, f"{item.key} is an argument of the build, and so in the image's history"


def test_worker_is_online_with_the_release_of_this_checkout(there: ApplicationState) -> None:
    assert there.online, "no worker of it is ONLINE"
    assert there.release in revision.releases()


def test_probe_run_completes_on_it(application: WorkerHost, there: ApplicationState) -> None:
    """A flow run that this very worker starts: what no health check can replace."""
    name, since = there.online[0].name, (datetime.now(UTC) - timedelta(seconds=60)).isoformat()
    command = [sys.executable, "-P", "-m", "worker.probe", "--worker", name, "--pool", application.work_pool]
    access = application.api_access()
    credentials = {"PREFECT_API_AUTH_STRING": access.auth, "PREFECT_API_KEY": access.key}
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "PREFECT_API_URL": access.api_url,
        **{key: value for key, value in credentials.items() if value},
    }
    done = subprocess.run(
        [*command, "--since", since, "--timeout", "120"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )
    answer = json.loads(done.stdout.splitlines()[-1])
    assert answer["state"] == "COMPLETED", answer
    assert answer["release"] == there.release
