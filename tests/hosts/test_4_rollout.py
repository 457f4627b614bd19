"""The rolling restart: no run lost, none doubled, all workers but one poll; and a bad release that hurts nobody."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sandbox import runs
from sandbox.load import Load
from sandbox.past import FLOWS
from sandbox.waiting import wait_for
from tests.hosts.conftest import WORKERS, main_pids

if TYPE_CHECKING:
    from pathlib import Path

    from sandbox import Machine, Sandbox
    from sandbox.operator import Operator

SHOW = " ".join(f"prefect-worker@{number}" for number in range(1, WORKERS + 1))


class Watched(Load):
    """A load that also looks, as often, at who polls; dense enough for several runs during each worker's turn."""

    every = 2.0

    def __init__(self, sandbox: Sandbox) -> None:
        super().__init__(sandbox)
        self.polling: list[int] = []

    def look(self) -> None:
        status = self.sandbox.hosts[0].ssh(f"systemctl show --property=StatusText --value {SHOW}").stdout
        self.polling.append(status.count("polling"))


@pytest.mark.essential
def test_rolling_restart_under_load(deployed: Operator, sandbox: Sandbox, machine: Machine) -> None:
    load, before = Watched(sandbox), main_pids(machine)
    load.start()
    try:
        # Over sudo, as a user who is not root: everything that changes a host must work that way too.
        result = deployed.deploy(HUBLAB_CONCURRENCY="3", HUBLAB_HOSTS=f"operator@{machine.address}")
    finally:
        ended = load.finish()
    assert result.status == 0, result.text
    assert not set(before.values()) & set(main_pids(machine).values()), "not every worker was restarted"
    assert len(ended) > WORKERS
    assert set(ended) == {("COMPLETED", 1)}
    assert min(load.polling) >= WORKERS - 1, load.polling


def spoil(module: Path, statement: str) -> None:
    """The module still compiles, or the release would be refused when it is built; it fails when it is imported."""
    future = "from __future__ import annotations\n"
    text = module.read_text()
    assert future in text
    module.write_text(text.replace(future, f"{future}\n{statement}\n", 1))


@pytest.mark.essential
def test_a_release_whose_workers_do_not_start_is_put_back(
    deployed: Operator, machine: Machine, sandbox: Sandbox, broken_checkout: Path
) -> None:
    before = main_pids(machine)
    release = machine.ssh("readlink /opt/hublab/current").stdout
    spoil(broken_checkout / "worker/__main__.py", 'raise SystemExit("this release is broken on purpose")')
    result = deployed.at(broken_checkout).deploy(HUBLAB_HOSTS=f"operator@{machine.address}")
    assert result.status != 0
    assert "hublab-1-1: FAILED" in result.text
    assert "this release is broken on purpose" in result.text, "the journal's last lines are not on the screen"
    assert "hublab-1-1: put back on release" in result.text
    after = main_pids(machine)
    assert after | {1: ""} == before | {1: ""}, "workers that the rollout had not reached were touched"
    assert machine.ssh("readlink /opt/hublab/current").stdout == release
    with sandbox.api() as api:
        assert {runs.workers(api)[f"{machine.name}-{number}"] for number in range(1, WORKERS + 1)} == {"ONLINE"}


def test_a_release_that_does_not_compile_is_never_used(
    deployed: Operator, machine: Machine, broken_checkout: Path
) -> None:
    before = main_pids(machine)
    with (broken_checkout / "worker/probe_flow.py").open("a") as module:
        module.write("def\n")
    result = deployed.at(broken_checkout).deploy()
    assert result.status != 0
    assert "could not be built; nothing else was changed" in result.text
    assert "SyntaxError" in result.text
    assert main_pids(machine) == before


def test_a_release_whose_runs_crash_is_put_back(deployed: Operator, machine: Machine, broken_checkout: Path) -> None:
    """The worker runs, polls and is ONLINE; only its flow runs do not complete: what a health check does not see."""
    spoil(broken_checkout / "worker/probe_flow.py", 'raise RuntimeError("every run crashes")')
    before = main_pids(machine)
    result = deployed.at(broken_checkout).deploy(HUBLAB_GATE_SECONDS="60")
    assert result.status != 0
    assert "hublab-1-1: FAILED" in result.text
    assert "hublab-1-1: put back on release" in result.text
    assert main_pids(machine)[2] == before[2]


def test_a_worker_less_and_one_more_touch_no_other(deployed: Operator, sandbox: Sandbox, machine: Machine) -> None:
    before = main_pids(machine)
    less = deployed.deploy(HUBLAB_WORKERS=str(WORKERS - 1))
    assert less.status == 0, less.text
    assert machine.ssh(f"ls /etc/systemd/system/prefect-worker@{WORKERS}.service", check=False).returncode != 0
    assert machine.ssh(f"systemctl is-active prefect-worker@{WORKERS}", check=False).stdout.strip() == "inactive"
    more = deployed.deploy()
    assert more.status == 0, more.text
    assert "1 of 1 COMPLETED" in more.text
    after = main_pids(machine)
    assert after | {WORKERS: ""} == before | {WORKERS: ""}


def test_a_secret_is_rotated(operator: Operator, deployed: Operator, sandbox: Sandbox, machine: Machine) -> None:
    """The server has a new credential already; the workers of the old one wait, and none of them gives up."""
    before, old = main_pids(machine), sandbox.auth
    sandbox.rotate_credential()
    assert "refuses it (401)" in deployed.plan().text
    operator.settings["PREFECT_API_AUTH_STRING"] = sandbox.auth
    result = deployed.deploy()
    assert result.status == 0, result.text
    assert result.text.count("the credential or the API's address changed") == WORKERS
    assert f"{WORKERS} of {WORKERS} COMPLETED" in result.text
    assert not set(before.values()) & set(main_pids(machine).values())
    assert old not in result.text
    assert sandbox.auth not in result.text
    assert machine.ssh(f"grep -rlF '{old}' /etc /var/lib/hublab /run/credentials", check=False).stdout == ""


@pytest.mark.essential
def test_stop_waits_for_the_run_in_flight(deployed: Operator, sandbox: Sandbox, machine: Machine) -> None:
    with sandbox.api() as api:
        deployment = runs.register(api, "flows.py:nap", directory=str(FLOWS), queue=f"probe-{machine.name}-1")
        run = runs.start(api, deployment, {"seconds": 20.0})
        runs.await_state(api, run, {"RUNNING"})
        machine.ssh("systemctl stop prefect-worker@1", timeout=120)
        # The worker waits for the process; the state is there before it.
        assert runs.state(api, run).type == "COMPLETED"
    shown = machine.ssh("systemctl show --property=Result,ExecMainStatus prefect-worker@1").stdout
    assert shown.split() == ["Result=success", "ExecMainStatus=0"]
    machine.ssh("systemctl start prefect-worker@1")


def test_engine_is_forked_within_the_walls_of_its_unit(deployed: Operator, sandbox: Sandbox, machine: Machine) -> None:
    with sandbox.api() as api:
        deployment = runs.register(api, "flows.py:nap", directory=str(FLOWS), queue=f"probe-{machine.name}-1")
        run = runs.start(api, deployment, {"seconds": 10.0})
        runs.await_state(api, run, {"RUNNING"})
        engine = machine.ssh("pgrep -f 'prefect[.]engine'").stdout.strip()
        shown = machine.ssh(f"ps -o args= -p {engine}; ps -o args= -p $(ps -o ppid= -p {engine})").stdout.splitlines()
        assert shown[0].strip().endswith(f"/venv/bin/python -m prefect.engine {run}")
        assert "/venv/bin/python -P -s -m worker.fork_server " in shown[1]
        assert runs.await_state(api, run).type == "COMPLETED"


def test_worker_killed_outright_leaves_its_run_to_complete(
    deployed: Operator, sandbox: Sandbox, machine: Machine
) -> None:
    with sandbox.api() as api:
        deployment = runs.register(api, "flows.py:nap", directory=str(FLOWS), queue=f"probe-{machine.name}-2")
        run = runs.start(api, deployment, {"seconds": 20.0})
        runs.await_state(api, run, {"RUNNING"})
        machine.ssh("systemctl kill --kill-whom=main --signal=KILL prefect-worker@2")
        assert runs.await_state(api, run).type == "COMPLETED"
        assert api.get(f"/flow_runs/{run}").json()["run_count"] == 1
    active = "systemctl is-active --quiet prefect-worker@2"
    wait_for(lambda: machine.ssh(active, check=False).returncode == 0, "systemd starts the worker again", 60, every=1)


def test_worker_that_hangs_is_replaced(deployed: Operator, machine: Machine) -> None:
    """WATCHDOG=1 comes from the polling loop: a process that is there and does nothing is killed and started again."""
    before = main_pids(machine)[2]
    machine.ssh("systemctl kill --kill-whom=main --signal=STOP prefect-worker@2")
    wait_for(lambda: main_pids(machine)[2] not in (before, "0"), "the watchdog fires", 120, every=2)


def test_power_cut_and_boot(deployed: Operator, sandbox: Sandbox, machine: Machine) -> None:
    machine.kill()
    machine.boot()
    result = deployed.deploy()
    assert result.status == 0, result.text
    assert "plan: nothing to do" in result.text or "COMPLETED" in result.text
    with sandbox.api() as api:
        runs.await_online(api, {f"{machine.name}-{number}" for number in range(1, WORKERS + 1)}, timeout=60)
