"""A release that fails its gate half way: what was moved goes back, what was not reached is never touched."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from tests.hosts.conftest import main_pids
from tests.hosts.test_4_rollout import spoil

if TYPE_CHECKING:
    from pathlib import Path

    from sandbox import Machine
    from sandbox.operator import Operator

SECOND_FAILS = """
import os
if os.environ.get("HUBLAB_WORKER_NAME", "").endswith("-2"):
    raise RuntimeError("not here")
"""


def releases(machine: Machine) -> dict[int, str]:
    """The release that each worker's process carries."""
    carried = {}
    for number, pid in main_pids(machine).items():
        environ = machine.ssh(f"tr '\\0' '\\n' < /proc/{pid}/environ").stdout
        carried[number] = re.findall(r"^HUBLAB_RELEASE=(.*)$", environ, re.MULTILINE)[0]
    return carried


def audit(machine: Machine) -> list[dict[str, object]]:
    """The host's own record of deploys."""
    return [json.loads(line) for line in machine.ssh("cat /var/lib/hublab/deploys.jsonl").stdout.splitlines()]


def left_behind(machine: Machine) -> str:
    """What only an unfinished rollout or a live deploy may have on a host."""
    return machine.ssh("ls -d /var/lib/hublab/before /run/hublab/lock", check=False).stdout


def test_the_worker_that_had_passed_goes_back_too(deployed: Operator, machine: Machine, broken_checkout: Path) -> None:
    before, pids = releases(machine), main_pids(machine)
    units = machine.ssh("sha256sum /etc/systemd/system/prefect-worker@*").stdout
    spoil(broken_checkout / "worker/probe_flow.py", SECOND_FAILS)
    result = deployed.at(broken_checkout).deploy()
    assert result.status != 0
    assert "hublab-1-1: ONLINE, probe run COMPLETED" in result.text, "the first worker was to pass"
    assert "hublab-1-2: FAILED" in result.text
    assert "hublab-1-1: put back on release" in result.text
    assert "FAILED: hublab-1-2 failed its gate; rolled back" in result.text
    assert releases(machine) == before
    moved = dict.fromkeys((1, 2))
    assert main_pids(machine) | moved == pids | moved, "a worker that the rollout had not reached was touched"
    assert machine.ssh("sha256sum /etc/systemd/system/prefect-worker@*").stdout == units
    assert left_behind(machine) == ""
    last = audit(machine)[-1]
    assert last["result"] == "hublab-1-2 failed its gate; rolled back"
    assert isinstance(last["seconds"], float)


def test_after_it_there_is_nothing_to_do(operator: Operator) -> None:
    plan = operator.plan()
    assert plan.status == 0, plan.text
    assert "release 3.9.1" in plan.text
    assert "will be drained" not in plan.text
