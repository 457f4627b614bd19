"""Every check of the proof is seen to fail: the host is broken in one way, the checks that guard it must say so."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.hosts.conftest import TREES, first_run

if TYPE_CHECKING:
    from sandbox import Machine, Sandbox
    from tests.hosts.conftest import Operator

RELEASE = "/opt/hublab/current"
PLACES = {
    "SITE": f"{RELEASE}/venv/lib/python3*/site-packages",
    "UNIT": "/etc/systemd/system/prefect-worker@1.service",
    "RELEASE": RELEASE,
}
MUTATIONS = tomllib.loads(Path(__file__).with_name("mutations.toml").read_text())["mutation"]


def placed(script: str) -> str:
    """A mutation's commands with its places filled in."""
    return re.sub(r"\b(SITE|UNIT|RELEASE)\b", lambda match: PLACES[match[0]], script)


@pytest.fixture(scope="module", autouse=True)
def _start_from_a_deployed_host(operator: Operator) -> None:
    result = operator.deploy()
    assert result.status == 0, result.text


@pytest.mark.parametrize("group", sorted({mutation["group"] for mutation in MUTATIONS}))
def test_is_noticed(group: str, operator: Operator, machine: Machine) -> None:
    mutations = [mutation for mutation in MUTATIONS if mutation["group"] == group]
    checks = sorted({check for mutation in mutations for check in mutation["noticed_by"]})
    for mutation in mutations:
        machine.ssh(placed(mutation["do"]), timeout=180)
    if group == "unit":
        machine.ssh("systemctl daemon-reload; systemctl restart prefect-worker@1", timeout=180)
    try:
        result = operator.verify(*checks)
    finally:
        for mutation in reversed(mutations):
            machine.ssh(placed(mutation.get("undo", "true")), check=False, timeout=180)
    assert result.status == 1, result.text
    unnoticed = [check for check in checks if not re.search(rf"FAILED .*::{check}\b", result.text)]
    assert not unnoticed, result.text


def test_what_was_changed_by_hand_is_put_right_by_a_deploy(operator: Operator) -> None:
    mended = operator.deploy()
    assert mended.status == 0, mended.text
    assert operator.verify("test_service", "test_secrets").status == 0


def test_pool_paused_is_noticed(sandbox: Sandbox, operator: Operator) -> None:
    with sandbox.api() as api:
        api.patch("/work_pools/default", json={"is_paused": True}).raise_for_status()
        result = operator.verify("test_pool_and_queues_are_not_paused")
        api.patch("/work_pools/default", json={"is_paused": False}).raise_for_status()
    assert result.status == 1


def bring_uvloop(machine: Machine) -> None:
    """The real uvloop, put into the release as `pip install` run by root would."""
    source = next(TREES.glob("past-*/opt/prefect/venv/lib/python3.12/site-packages"))
    names = [path.name for path in source.glob("uvloop*")]
    with subprocess.Popen(["tar", "-C", str(source), "-cf", "-", *names], stdout=subprocess.PIPE) as pack:
        target = "tar -C /opt/hublab/current/venv/lib/python3*/site-packages -xf -"
        subprocess.run([*machine.ssh_command(), target], stdin=pack.stdout, check=True, timeout=60)


def test_uvloop_installed_is_blocked_noticed_and_replaced(
    operator: Operator, machine: Machine, sandbox: Sandbox
) -> None:
    """The first way back: somebody installs it into the venv. Nothing loads it; a deploy builds a fresh release."""
    bring_uvloop(machine)
    assert machine.ssh("/opt/hublab/current/venv/bin/python -c 'import uvloop'", check=False).returncode == 1
    noticed = operator.verify("test_packages_equal_the_lock", "test_uvloop_has_no_file_in_the_release")
    assert noticed.status == 1
    assert "test_uvloop_has_no_file_in_the_release" in noticed.text
    mended = operator.deploy()
    assert mended.status == 0, mended.text
    assert "was tampered with (uvloop-0.21.0 was added): a fresh one is built beside it" in mended.text
    assert operator.verify("test_release").status == 0
    assert first_run(sandbox, f"{machine.name}-1").type == "COMPLETED"


def test_uvloop_with_its_guard_removed_is_refused_by_the_worker(operator: Operator, machine: Machine) -> None:
    """The second way back: the guard is gone too. Then the worker itself does not start, and says why."""
    bring_uvloop(machine)
    machine.ssh(
        "for f in /opt/hublab/current/venv/lib/python3*/site-packages/hublab.pth; do chmod u+w $f; sed -i 1d $f; done"
    )
    assert machine.ssh("/opt/hublab/current/venv/bin/python -c 'import uvloop'", check=False).returncode == 0
    assert machine.ssh("systemctl restart prefect-worker@3", check=False, timeout=120).returncode != 0
    assert machine.ssh("systemctl show -p ExecMainStatus --value prefect-worker@3").stdout.strip() == "78"
    assert "uvloop" in machine.ssh("journalctl -u prefect-worker@3 -n 5 -o cat").stdout
    noticed = operator.verify("test_uvloop_cannot_be_imported", "test_unit_is_active_and_starts_at_boot")
    assert "test_uvloop_cannot_be_imported" in noticed.text
    mended = operator.deploy()
    assert mended.status == 0, mended.text
    assert operator.verify("test_release", "test_unit_is_active_and_starts_at_boot").status == 0
