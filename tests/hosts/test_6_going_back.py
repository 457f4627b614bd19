"""Going back goes back: pool, API and credential are those of before, and the old worker passes its own gate."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from sandbox import server
from tests.hosts.conftest import WORKERS, copy_checkout, first_run
from tests.hosts.faults import UNITS
from tests.hosts.other_server import OtherServer, other_server, with_any_credential
from tests.hosts.test_4_rollout import spoil
from tests.hosts.test_5_rollback import audit, left_behind

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sandbox import Machine, Sandbox
    from sandbox.operator import Operator
    from tests.hosts.book import Book

pytestmark = pytest.mark.timeout(900)
FORMER, NEW = "sentinel-of-before-2f6a", "sentinel-of-another-credential-9b1d"
# With the settings of before every gate passes; with any of the new ones the second worker's does not.
SECOND_FAILS_WITH_WHAT_IS_NEW = """
import os
from pathlib import Path

def _is_new() -> bool:
    profile = Path(os.environ["PREFECT_PROFILES_PATH"]).read_text()
    return os.environ["HUBLAB_WORK_POOL"] == "elsewhere" or ":4300/" in profile or "of-another-credential" in profile

if os.environ.get("HUBLAB_WORKER_NAME", "").endswith("-2") and _is_new():
    raise RuntimeError("not with these settings")
"""


@pytest.fixture(scope="module")
def other(sandbox: Sandbox) -> Iterator[OtherServer]:
    with other_server(sandbox) as found, found.api() as theirs, sandbox.api() as ours:
        for api in (theirs, ours):
            server.ensure_pool(api)
            server.ensure_pool(api, "elsewhere")
        yield found


@pytest.fixture(scope="module")
def picky(three: Operator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    """Somebody whose release, in service on all workers, bears the settings of before and no others."""
    checkout: Path = copy_checkout(tmp_path_factory.mktemp("picky") / "checkout")
    spoil(checkout / "worker/probe_flow.py", SECOND_FAILS_WITH_WHAT_IS_NEW)
    operator = three.at(checkout)
    result = operator.deploy()
    assert result.status == 0, result.text
    yield operator
    assert three.deploy().status == 0


CHANGES = ("pool", "API", "credential", "all")


def change(what: str, other: OtherServer) -> dict[str, str]:
    pool, credential = {"HUBLAB_WORK_POOL": "elsewhere"}, {"PREFECT_API_AUTH_STRING": f"hublab:{NEW}"}
    return {"pool": pool, "API": other.settings, "credential": credential, "all": pool | other.settings}[what]


def carried(machine: Machine, number: int) -> str:
    """What the process of one worker was started with: its settings, and its credential as the host sees it."""
    unit = f"prefect-worker@{number}.service"
    pid = f"$(systemctl show -p MainPID --value {unit})"
    shown = machine.ssh(f"tr '\\0' '\\n' < /proc/{pid}/environ | grep -E '^(HUBLAB|PREFECT_API)' | sort")
    return shown.stdout + machine.ssh(f"cat /run/credentials/{unit}/profiles.toml").stdout


def holding(machine: Machine, secret: str) -> str:
    """The files of the host, credentials of units included, that have a secret in them."""
    return machine.ssh(f"grep -rlF -e '{secret}' /etc /opt/hublab /var/lib/hublab /run /tmp", check=False).stdout


@pytest.mark.parametrize("what", CHANGES)
def test_change_that_fails_its_gate_is_undone(
    what: str, picky: Operator, machine: Machine, sandbox: Sandbox, other: OtherServer, book: Book
) -> None:
    base = with_any_credential(sandbox, FORMER) if what == "credential" else {}
    if base:
        first = picky.deploy(**base)
        assert first.status == 0, first.text
    before = [carried(machine, number) for number in range(1, WORKERS + 1)]
    units = machine.ssh("sha256sum /etc/systemd/system/prefect-worker@* /etc/hublab/profiles.toml").stdout
    settings = base | change(what, other)
    result = picky.deploy(**settings, HUBLAB_GATE_SECONDS="40")
    assert result.status != 0
    assert "hublab-1-1: ONLINE, probe run COMPLETED" in result.text, "the first worker was to pass with what is new"
    assert "hublab-1-2: FAILED: hublab-1-2: the probe's flow run is" in result.text, result.text
    for number in (1, 2):
        assert f"hublab-1-{number}: put back on release" in result.text, result.text
    assert "FAILED: hublab-1-2 failed its gate; rolled back" in result.text, result.text
    assert [carried(machine, number) for number in range(1, WORKERS + 1)] == before
    assert machine.ssh("sha256sum /etc/systemd/system/prefect-worker@* /etc/hublab/profiles.toml").stdout == units
    for secret in (NEW, other.auth):
        assert holding(machine, secret) == ""
    assert left_behind(machine) == ""
    assert audit(machine)[-1]["result"] == "hublab-1-2 failed its gate; rolled back"
    assert first_run(sandbox, "hublab-1-1").type == "COMPLETED"
    plan = picky.plan(**base)
    assert re.search(r"release \S+ will be removed|nothing to do", plan.text), plan.text
    assert "will be drained" not in plan.text
    outcome = "rolled back, status 1: processes, unit and credential of before"
    book.add(f"going back from a new one that fails its gate: {what}", outcome, "nothing to do", "none asked for")
    if base:
        last = picky.deploy()
        assert last.status == 0, last.text


def test_new_server_leaves_nothing_for_the_next_deploy(
    three: Operator, machine: Machine, sandbox: Sandbox, other: OtherServer
) -> None:
    result = three.deploy(**other.settings)
    assert result.status == 0, result.text
    try:
        status = three.run("python", "-m", "deploy.fleet", "status", **other.settings)
        assert status.status == 0, status.text
        assert "as planned" in status.text
        # What was valid until now, and may have been revoked for a reason, lies nowhere any more.
        assert holding(machine, sandbox.auth) == ""
    finally:
        back = three.deploy()
    assert back.status == 0, back.text
    assert holding(machine, other.auth) == ""


def test_first_deploy_that_fails_leaves_no_credential(
    three: Operator, machine: Machine, sandbox: Sandbox, broken_checkout: Path
) -> None:
    """There was none before: that is what the host goes back to."""
    machine.ssh(f"systemctl disable --now {UNITS}; rm -rf /etc/hublab", timeout=120)
    machine.ssh("rm /etc/systemd/system/prefect-worker@*; systemctl daemon-reload")
    spoil(broken_checkout / "worker/__main__.py", 'raise SystemExit("broken on purpose")')
    result = three.at(broken_checkout).deploy(**with_any_credential(sandbox, NEW), HUBLAB_GATE_SECONDS="40")
    assert result.status != 0
    assert "hublab-1-1 failed its gate; rolled back" in result.text, result.text
    assert holding(machine, NEW) == ""
    assert machine.ssh("ls -A /etc/hublab").stdout == ""
    assert left_behind(machine) == ""
    assert three.deploy().status == 0
