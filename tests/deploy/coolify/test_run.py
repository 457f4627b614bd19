"""The commands on an application: bare pyinfra, status, history; against sockets of this machine."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from deploy.env_file import ROOT
from deploy.settings import SettingsError, coolify_of
from tests.deploy.coolify.script import TOKEN
from tests.deploy.coolify.served import served
from tests.deploy.coolify.standin import APP
from tests.deploy.coolify.theatre import OLD, RELEASES, Theatre

if TYPE_CHECKING:
    from collections.abc import Iterator

RELEASE = "from deploy.release import identity; print(identity.release_id('3.12.1', '/usr/local'))"
DEPLOY = "POST /deploy"


class Run:
    """An operator's machine with a `.env`, whose application serves this checkout's release with a grace of 30 s."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "env"
        # As a command has it, which reads its `.env` alone: a sandbox of the checkout may have a campaign of its own.
        self.release = self(sys.executable, "-c", RELEASE).stdout.strip()
        self.theatre = Theatre()
        coolify = self.theatre.coolify
        coolify.app |= {"git_commit_sha": OLD, "status": "running:healthy"}
        coolify.app["settings"] = {"stop_grace_period": 30}
        coolify.serve(self.release)
        coolify.lies = [self.release] * 9
        # A deployment has ended when it is looked at.
        advance = coolify.advance
        coolify.advance = lambda found: (advance(found), advance(found))[0]  # type: ignore[method-assign]

    def write(self, coolify: str, prefect: str) -> None:
        self.file.write_text(
            f"HUBLAB_HOSTS=coolify:{APP}\nHUBLAB_COOLIFY_URL={coolify}\nHUBLAB_COOLIFY_TOKEN='{TOKEN}'\n"
            f"PREFECT_API_URL={prefect}\nHUBLAB_GATE_SECONDS=10\n"
        )

    def __call__(self, *command: str) -> subprocess.CompletedProcess[str]:
        environ = {**os.environ, "HUBLAB_ENV_FILE": str(self.file)}
        return subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False, timeout=120)

    def pyinfra(self, deploy: str, *options: str) -> subprocess.CompletedProcess[str]:
        program = str(Path(sys.executable).with_name("pyinfra"))
        return self(program, *options, "deploy/inventory.py", f"deploy/{deploy}.py")

    def fleet(self, name: str) -> subprocess.CompletedProcess[str]:
        return self(sys.executable, "-m", "deploy.fleet", name)


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    made = Run(tmp_path)
    with served(made.theatre) as (coolify, prefect):
        made.write(coolify, prefect)
        yield made


@pytest.mark.long
def test_plan_deploy_status_history_and_the_way_back(run: Run) -> None:
    coolify = run.theatre.coolify
    planned = run.pyinfra("workers", "--dry")
    assert planned.returncode == 0, planned.stderr
    assert "stop_grace_period 30 → 930" in planned.stderr
    assert coolify.journal == []
    assert run.fleet("status").returncode == 1

    done = run.pyinfra("workers", "-y")
    assert done.returncode == 0, done.stderr + done.stdout
    assert coolify.journal[-1] == DEPLOY
    assert coolify.app["settings"]["stop_grace_period"] == 930
    (row,) = [line for line in done.stdout.splitlines() if line.startswith("worker (coolify:")]
    assert row.split()[2:3] == [run.release]
    assert "1 of 1 COMPLETED" in row
    assert row.endswith("deployed")
    assert TOKEN not in done.stdout + done.stderr

    again = run.pyinfra("workers", "-y")
    assert "no change" in again.stdout
    assert coolify.journal.count(DEPLOY) == 1
    status = run.fleet("status")
    assert (status.returncode, status.stderr) == (0, "")
    assert f"worker (coolify:{APP})  as planned  release {run.release}" in status.stdout
    assert "warning: HUBLAB_COOLIFY_URL: http, so the token travels in the clear" in status.stdout
    assert f"last: deploy of release {OLD} by" in status.stdout
    assert f"coolify:{APP}" in run.fleet("history").stdout
    assert "was not locked" in run.fleet("unlock").stdout

    back = run.pyinfra("rollback", "-y")
    assert back.returncode == 1
    assert "there is no release before this one" in back.stderr


def test_deploy_that_fails_says_why_and_leaves_what_served(run: Run) -> None:
    coolify = run.theatre.coolify
    coolify.ends = ["failed"]
    done = run.pyinfra("workers", "-y")
    assert done.returncode == 1
    assert "New container is unhealthy." in done.stderr
    assert "its deployment dep1 is failed; what served before serves on; rolled back" in done.stdout + done.stderr
    assert coolify.app["settings"]["stop_grace_period"] == 30
    assert run.fleet("unlock").stdout.strip().endswith("was not locked")
    status = run.fleet("status")
    assert "FAILED" in status.stdout
    assert RELEASES[OLD] not in status.stdout


def test_token_that_lacks_an_ability_stops_it_before_anything_is_changed(run: Run) -> None:
    refusal = httpx.Response(403, json={"message": "Missing required permissions: read"})
    run.theatre.coolify.fails[f"GET /applications/{APP}"] = [refusal]
    done = run.pyinfra("workers", "-y")
    assert done.returncode == 1
    assert "HUBLAB_COOLIFY_TOKEN: it lacks an ability (Missing required permissions: read)" in done.stderr
    assert run.theatre.coolify.journal == []


def test_list_needs_no_host_since_the_uuids_to_name_are_found_by_it(run: Run) -> None:
    lines = run.file.read_text().splitlines()
    run.file.write_text("\n".join(line for line in lines if line.startswith("HUBLAB_COOLIFY_")))
    done = run(sys.executable, "-m", "deploy.coolify", "list")
    assert done.returncode == 0, done.stderr
    assert [line for line in done.stdout.splitlines() if line.endswith(APP) and "application" in line]
    run.file.write_text("HUBLAB_COOLIFY_TOKEN=x\n")
    done = run(sys.executable, "-m", "deploy.coolify", "list")
    assert (done.returncode, done.stdout) == (2, "")
    assert "HUBLAB_COOLIFY_URL: missing. Give Coolify's address" in done.stderr


def test_list_without_an_env_file_asks_for_coolify_and_for_no_host() -> None:
    with pytest.raises(SettingsError) as caught:
        coolify_of(None)
    assert str(caught.value).startswith(".env: HUBLAB_COOLIFY_URL: missing. Give Coolify's address")
    assert "HUBLAB_HOSTS" not in str(caught.value)


def test_log_is_shown_whole_and_line_by_line_and_does_nothing_to_a_terminal(run: Run) -> None:
    lines = [f"line {number} of a log, longer than a word of a message" for number in range(50)]
    run.theatre.coolify.log = lambda: "\n".join([*lines, "\x1b[2Jred"])  # type: ignore[method-assign]
    done = run(sys.executable, "-m", "deploy.fleet", "logs", "", "100", "")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [*lines, "?[2Jred"]


def test_verify_says_what_is_wrong_in_the_env_file_and_no_more(run: Run) -> None:
    run.file.write_text(f"HUBLAB_HOSTS=coolify:{APP}\n")
    done = run(sys.executable, "-m", "pytest", "tests/infra")
    assert done.returncode == 2
    assert [line.split(":")[1].strip() for line in done.stderr.splitlines()] == [
        "PREFECT_API_URL",
        "HUBLAB_COOLIFY_URL",
        "HUBLAB_COOLIFY_TOKEN",
    ]
    assert "Error" not in done.stdout
