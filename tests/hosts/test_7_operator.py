"""The operator's day: a plan that only looks, the way back, who did what, and how it stands."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.hosts.conftest import WORKERS, main_pids
from tests.hosts.test_5_rollback import audit, left_behind, releases

if TYPE_CHECKING:
    from pathlib import Path

    from sandbox import Machine
    from sandbox.operator import Operator

# What a running system writes by itself; the workers' own folders are theirs.
VOLATILE = ("/proc", "/sys", "/dev", "/run", "/tmp", "/var/tmp", "/var/log", "/var/lib/systemd", "/home/operator")
# The session that looks.
LOOKING = "sshd|ps|bash|sh|systemd|\\(sd-pam\\)|sort|sha256sum|grep|systemctl|sudo"


def whole_tree(machine: Machine) -> str:
    """A digest over every file's content, and over every inode's mode, owner, size, times and target."""
    skipped = " -o ".join(f"-path {path}" for path in (*VOLATILE, "/var/lib/hublab/worker-*", "/root/.cache"))
    facts = "%p %M %U %G %s %T@ %C@ %i %l\\n"
    listing = f"find / \\( {skipped} \\) -prune -o -printf '{facts}' | sort | sha256sum"
    contents = f"find / \\( {skipped} \\) -prune -o -type f -print0 | sort -z | xargs -0 sha256sum | sha256sum"
    return machine.ssh(f"{listing}; {contents}", timeout=300).stdout


def processes(machine: Machine) -> str:
    """Every process but those of the session that asks and the workers' helpers."""
    return machine.ssh(f"ps -eo pid=,comm= | grep -vE ' ({LOOKING})$'").stdout


def test_plan_leaves_the_host_bit_by_bit_unchanged(deployed: Operator, machine: Machine) -> None:
    before, running = whole_tree(machine), processes(machine)
    plan = deployed.plan(HUBLAB_CONCURRENCY="7", HUBLAB_MEMORY_MAX="3G", PREFECT_API_AUTH_STRING="hublab:other")
    assert plan.status != 0, "the credential of the plan is a wrong one"
    plan = deployed.plan(HUBLAB_CONCURRENCY="7", HUBLAB_WORKERS=str(WORKERS - 1))
    assert plan.status == 0, plan.text
    changed = "its settings changed (HUBLAB_CONCURRENCY 4 → 7)"
    assert f"hublab-1-1 will be drained and restarted: {changed}" in plan.text
    assert f"prefect-worker@{WORKERS}.service will be drained and removed" in plan.text
    assert whole_tree(machine) == before
    assert processes(machine) == running
    assert machine.ssh("ls /run/hublab/lock", check=False).returncode != 0, "a plan has taken the lock"


@pytest.fixture(autouse=True)
def _answers_in_json(monkeypatch: pytest.MonkeyPatch) -> None:
    """`./hublab status --json`."""
    monkeypatch.setenv("JSON", "1")


def fleet(operator: Operator, question: str) -> tuple[int, str]:
    """`./hublab status` or `./hublab history`."""
    result = operator.run("python", "-m", "deploy.fleet", question)
    return result.status, result.text


def test_status_is_0_only_if_all_is_as_planned(deployed: Operator, machine: Machine) -> None:
    status, text = fleet(deployed, "status")
    assert status == 0, text
    (host,) = json.loads(text)
    assert host["as_planned"]
    assert [name for name, _ in host["workers"]] == [f"hublab-1-{number}" for number in range(1, WORKERS + 1)]
    assert all(words.startswith("polling default") for _, words in host["workers"])
    assert host["release"] == machine.ssh("basename $(readlink /opt/hublab/current)").stdout.strip()
    machine.ssh("systemctl stop prefect-worker@2", timeout=120)
    status, text = fleet(deployed, "status")
    machine.ssh("systemctl start prefect-worker@2", timeout=180)
    assert status == 1, text
    assert "hublab-1-2 will be started: is inactive" in text


def test_drop_in_is_drift_and_the_next_deploy_moves_it_aside(deployed: Operator, machine: Machine) -> None:
    before, folder = main_pids(machine), "/etc/systemd/system/prefect-worker@2.service.d"
    machine.put(f"{folder}/more.conf", "[Service]\nMemoryMax=1G\n")
    machine.ssh("systemctl daemon-reload")
    memory = "systemctl show --property=MemoryMax --value prefect-worker@2"
    assert machine.ssh(memory).stdout.strip() == str(1024**3)
    status, text = fleet(deployed, "status")
    assert status == 1, text
    (host,) = json.loads(text)
    assert host["drift"] == [f"hublab-1-2 will be drained and restarted: {folder}/more.conf changes its unit"]
    result = deployed.deploy()
    assert result.status == 0, result.text
    assert f"{folder} is moved aside" in result.text
    assert machine.ssh(memory).stdout.strip() == str(4 * 1024**3)
    assert machine.ssh("cat /var/lib/hublab/retired/drop-ins-*/etc/systemd/system/*/more.conf").stdout.count("1G") == 1
    after = main_pids(machine)
    assert after | {2: ""} == before | {2: ""}
    status, text = fleet(deployed, "status")
    assert status == 0, text


def test_rollback_takes_release_and_settings_of_before_and_a_deploy_goes_forth(
    deployed: Operator, machine: Machine, broken_checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The release before, with the settings that it had; nothing is built, and nothing but the host is reached."""
    before = releases(machine)
    with (broken_checkout / "worker/probe_flow.py").open("a") as module:
        module.write("# another release\n")
    newer = deployed.at(broken_checkout).deploy(HUBLAB_CONCURRENCY="6")
    assert newer.status == 0, newer.text
    after = releases(machine)
    assert set(after.values()) != set(before.values())
    unit = "grep HUBLAB_CONCURRENCY /etc/systemd/system/prefect-worker@1.service"
    assert "=6" in machine.ssh(unit).stdout
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # nobody is there
    back = deployed.run("pyinfra", "-y", "deploy/inventory.py", "deploy/rollback.py")
    assert back.status == 0, back.text
    assert f"{WORKERS} of {WORKERS} COMPLETED" in back.text
    assert releases(machine) == before
    assert "=6" not in machine.ssh(unit).stdout
    last = audit(machine)[-1]
    assert (last["what"], last["result"]) == ("rollback", "ok")
    unknown = deployed.run("pyinfra", "-y", "--data", "release=3.1", "deploy/inventory.py", "deploy/rollback.py")
    assert unknown.status != 0
    assert "--to: 3.1 is not on the host" in unknown.text
    assert left_behind(machine) == ""
    status, text = fleet(deployed, "history")
    assert status == 0
    assert [line["what"] for line in json.loads(text)][-2:] == ["deploy", "rollback"]
