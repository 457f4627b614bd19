"""From the last release to this one and back, under a campaign that goes on: nothing is lost, nothing doubled."""

from __future__ import annotations

import json
import subprocess
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from sandbox import Sandbox, runs
from sandbox.campaign import setup
from sandbox.campaign.aftermath import settled
from sandbox.campaign.contacts import address
from sandbox.operator import Operator
from sandbox.past import FLOWS
from tests.hosts.conftest import HOSTS, ROOT, SCRATCH, TREES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sandbox.campaign.core import Campaign

RELEASES = {"0.2.0": "042c0f1", "0.3.0": "35000f9"}
"""Version → commit, the newest last: that one is upgraded from. A tag is not in every clone."""
SPEED = 4.0
"""The mails of one signup are a quarter of a minute apart."""


@pytest.fixture(scope="module")
def last_release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout of the last release, which uses the wheels that were downloaded for this one."""
    folder = tmp_path_factory.mktemp("last") / "checkout"
    folder.mkdir()
    version, commit = list(RELEASES.items())[-1]
    archive = subprocess.run(["git", "-C", str(ROOT), "archive", commit], capture_output=True, check=False)
    assert archive.returncode == 0, f"{version}, {commit}, is not in this clone: {archive.stderr.decode()}"
    subprocess.run(["tar", "--extract", "--directory", str(folder)], input=archive.stdout, check=True)
    (folder / ".hublab").mkdir()
    (SCRATCH / "wheels").mkdir(parents=True, exist_ok=True)
    (folder / ".hublab/wheels").symlink_to(SCRATCH / "wheels")
    return folder


@pytest.fixture(scope="module")
def campaign() -> Iterator[Campaign]:
    """A campaign on a host that nothing was deployed to yet."""
    box = Sandbox.up(hosts=1, root=HOSTS.with_name(f"{HOSTS.name}-upgrade"), trees=TREES, python=True)
    try:
        box.hosts[0].put(f"{FLOWS}/flows.py", (ROOT / "sandbox/past/flows.py").read_text())
        more = {"HUBLAB_READ_PATHS": str(FLOWS), "HUBLAB_DRAIN_SECONDS": "300", "HUBLAB_NOTION_LAG_SECONDS": "1"}
        yield setup.prepare(box, speed=SPEED, settings=more)
    finally:
        box.down()


def operator(campaign: Campaign) -> Operator:
    return Operator(campaign.env_file, dict(campaign.environment), campaign.checkout)


def on_record(campaign: Campaign) -> dict[str, object]:
    """The last line of the host's own record of deploys."""
    record = campaign.sandbox.hosts[0].ssh("tail -n 1 /var/lib/hublab/deploys.jsonl").stdout
    found: dict[str, object] = json.loads(record)
    return found


def in_flight(campaign: Campaign, seconds: float) -> str:
    """A run that a rollout has to wait for."""
    with campaign.sandbox.api() as api:
        deployment = runs.register(api, "flows.py:nap", directory=str(FLOWS))
        run = runs.start(api, deployment, {"seconds": seconds})
        runs.await_state(api, run, {"RUNNING"}, timeout=120)
    return run


def completed_once(campaign: Campaign, run: str) -> bool:
    with campaign.sandbox.api() as api:
        state = runs.await_state(api, run, timeout=240)
        found = api.get(f"/flow_runs/{run}").raise_for_status().json()
        return state.type == "COMPLETED" and found["run_count"] == 1


@pytest.mark.timeout(2400)
def test_upgrade_and_the_way_back_lose_nothing(campaign: Campaign, last_release: Path) -> None:
    before = replace(campaign, checkout=last_release)
    setup.establish(before)
    name = int(time.time())
    released = on_record(campaign)["to"]
    keys = [before.enrol("signup", address(f"before-{name}-{number}")) for number in range(4)]
    long = in_flight(before, 60)
    setup.establish(campaign)
    assert completed_once(campaign, long)
    status = operator(campaign).verify()
    assert status.status == 0, status.text
    keys += [campaign.enrol("signup", address(f"after-{name}-{number}")) for number in range(4)]
    long = in_flight(campaign, 60)
    back = operator(campaign).run("pyinfra", "-y", "deploy/inventory.py", "deploy/rollback.py")
    assert back.status == 0, back.text
    assert completed_once(campaign, long)
    keys += [campaign.enrol("signup", address(f"back-{name}-{number}")) for number in range(2)]
    # What runs is the last release, in units of this one: neither checkout's proof is about that.
    last = on_record(campaign)
    assert (last["what"], last["result"], last["to"]) == ("rollback", "ok", released)
    outcome = settled(campaign, keys)
    assert outcome.clean, outcome.text()
    assert outcome.accepted == 7 * len(keys)
