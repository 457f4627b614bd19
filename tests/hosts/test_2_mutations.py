"""Every check of the proof is seen to fail: the host is broken in one way, the checks that guard it must say so."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sandbox import past, runs
from sandbox.past import FLOWS
from tests.hosts import released
from tests.hosts.conftest import as_wanted, first_run, main_pids

if TYPE_CHECKING:
    from sandbox import Machine, Sandbox
    from sandbox.operator import Operator

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
def _start_from_a_deployed_host(operator: Operator, machine: Machine) -> None:
    as_wanted(operator)
    released.keep(machine)


@pytest.mark.essential
@pytest.mark.parametrize("group", sorted({mutation["group"] for mutation in MUTATIONS}))
def test_what_was_broken_by_hand_is_noticed(group: str, operator: Operator, machine: Machine) -> None:
    mutations = break_by_hand(machine, group)
    checks = sorted({check for mutation in mutations for check in mutation["noticed_by"]})
    try:
        result = operator.verify(*checks)
    finally:
        for mutation in reversed(mutations):
            machine.ssh(placed(mutation.get("undo", "true")), check=False, timeout=180)
    assert result.status == 1, result.text
    unnoticed = [check for check in checks if not re.search(rf"FAILED .*::{check}\b", result.text)]
    assert not unnoticed, result.text


def break_by_hand(machine: Machine, group: str) -> list[dict[str, Any]]:
    """Everything of the group is done to the host."""
    mutations = [mutation for mutation in MUTATIONS if mutation["group"] == group]
    for mutation in mutations:
        machine.ssh(placed(mutation["do"]), timeout=180)
    if group == "unit":
        machine.ssh("systemctl daemon-reload; systemctl restart prefect-worker@1", timeout=180)
    return mutations


def test_what_was_changed_by_hand_is_put_right_by_a_deploy(operator: Operator, machine: Machine) -> None:
    break_by_hand(machine, "unit")
    assert operator.verify("test_process_has_no_privilege").status == 1
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
    source = next(past.layer(machine.layout).glob("opt/prefect/venv/lib/python3*/site-packages"))
    names = [path.name for path in source.glob("uvloop*")]
    with subprocess.Popen(["tar", "-C", str(source), "-cf", "-", *names], stdout=subprocess.PIPE) as pack:
        target = "tar -C /opt/hublab/current/venv/lib/python3*/site-packages -xf -"
        subprocess.run([*machine.ssh_command(), target], stdin=pack.stdout, check=True, timeout=60)


def test_uvloop_is_blocked_then_refused_then_replaced(operator: Operator, machine: Machine, sandbox: Sandbox) -> None:
    """The ways back on a host: installed into the venv, nothing loads it; without its guard, no worker starts."""
    bring_uvloop(machine)
    assert machine.ssh("/opt/hublab/current/venv/bin/python -c 'import uvloop'", check=False).returncode == 1
    machine.ssh(placed("chmod u+w SITE/hublab.pth && sed -i 1d SITE/hublab.pth"))
    assert machine.ssh("/opt/hublab/current/venv/bin/python -c 'import uvloop'", check=False).returncode == 0
    assert machine.ssh("systemctl restart prefect-worker@2", check=False, timeout=120).returncode != 0
    assert machine.ssh("systemctl show -p ExecMainStatus --value prefect-worker@2").stdout.strip() == "78"
    assert "uvloop" in machine.ssh("journalctl -u prefect-worker@2 -n 5 -o cat").stdout
    checks = (
        "test_packages_equal_the_lock",
        "test_uvloop_has_no_file_in_the_release",
        "test_uvloop_cannot_be_imported",
    )
    noticed = operator.verify(*checks)
    assert [check for check in checks if f"::{check}[" not in noticed.text] == []
    mended = operator.deploy()
    assert mended.status == 0, mended.text
    assert "was tampered with (uvloop-0.21.0 was added" in mended.text
    assert operator.verify(*checks).status == 0
    assert first_run(sandbox, f"{machine.name}-1").type == "COMPLETED"


POLICY_FLOW = """
import asyncio

from prefect import flow


@flow
def fast():
    import uvloop

    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
"""


def test_flow_that_installs_its_policy_fails_alone(operator: Operator, machine: Machine, sandbox: Sandbox) -> None:
    """What a flow does to its own process stays there; and even there it finds no uvloop, though its files are."""
    as_wanted(operator)
    bring_uvloop(machine)
    machine.put(f"{FLOWS}/fast.py", POLICY_FLOW)
    before = main_pids(machine)
    with sandbox.api() as api:
        deployment = runs.register(api, "fast.py:fast", directory=str(FLOWS), queue=f"probe-{machine.name}-1")
        ended = runs.await_state(api, runs.start(api, deployment), timeout=120)
    assert ended.type == "FAILED"
    assert "uvloop" in ended.message
    assert main_pids(machine) == before
    assert first_run(sandbox, f"{machine.name}-1").type == "COMPLETED"
    assert operator.deploy().status == 0
