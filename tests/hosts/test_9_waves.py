"""Five hosts: the canary, then waves; a failure in the second wave takes back the first; a bad canary goes back."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest

from sandbox import Sandbox, env_file, runs
from sandbox.operator import Operator, Result
from sandbox.past import FLOWS
from tests.hosts.conftest import SCRATCH, TREES, copy_checkout
from tests.hosts.faults import Struck
from tests.hosts.test_4_rollout import spoil
from tests.hosts.test_5_rollback import left_behind

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sandbox import Machine

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]
HOSTS = 5
# Settings that a release of this test cannot bear: with the one a gate fails on the third host, with the other flow
# runs fail, while every gate passes. So no host has to build another release for a fault.
BAD_GATE, BAD_RUNS = "13", "14"
GATE_FAILS = f"""
import os
if os.environ.get("HUBLAB_WORKER_NAME") == "hublab-3-1" and os.environ["HUBLAB_CONCURRENCY"] == "{BAD_GATE}":
    raise RuntimeError("not here")
"""
PICKY = f"""
import os
from prefect import flow

@flow
def picky():
    if os.environ["HUBLAB_CONCURRENCY"] == "{BAD_RUNS}":
        raise RuntimeError("not with these settings")
"""


@pytest.fixture(scope="module")
def fleet() -> Iterator[Sandbox]:
    """Five bare hosts in a sandbox of their own."""
    box = Sandbox.up(hosts=HOSTS, root=SCRATCH / "waves", trees=TREES, python=True)
    for machine in box.hosts:
        machine.put(f"{FLOWS}/picky.py", PICKY)
    yield box
    if not os.environ.get("HUBLAB_KEEP_SANDBOX"):
        box.down()


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    copy = copy_checkout(tmp_path_factory.mktemp("waves") / "checkout")
    spoil(copy / "worker/probe_flow.py", GATE_FAILS)
    return copy


@pytest.fixture(scope="module")
def first(fleet: Sandbox, checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Operator, Result]:
    """The operator of the five, and the first deploy."""
    settings = env_file.read(fleet.env_file) | {"HUBLAB_WORKERS": "1", "HUBLAB_READ_PATHS": str(FLOWS)}
    operator = Operator(tmp_path_factory.mktemp("waves") / "env", settings, checkout)
    return operator, operator.deploy(HUBLAB_CANARY_SECONDS="10")


def pids(fleet: Sandbox) -> list[str]:
    return [host.ssh("systemctl show -p MainPID --value prefect-worker@1").stdout.strip() for host in fleet.hosts]


def units(hosts: list[Machine]) -> list[str]:
    return [host.ssh("readlink /opt/hublab/current; sha256sum /etc/systemd/system/prefect*").stdout for host in hosts]


def test_canary_then_waves_in_order(first: tuple[Operator, Result]) -> None:
    _, result = first
    assert result.status == 0, result.text

    def begins(number: int) -> int:
        return result.text.index(f"hublab-{number}-1: ")

    def passes(number: int) -> int:
        return result.text.index(f"hublab-{number}-1: ONLINE, probe run COMPLETED")

    text = result.text[result.text.index("Starting operation: activate") :]
    result = Result(result.status, text)
    assert passes(1) < text.index("hublab-1-1: canary for 10 s") < text.index("hublab-1-1: canary passed")
    assert text.index("hublab-1-1: canary passed") < min(begins(2), begins(3))
    assert max(begins(2), begins(3)) < min(passes(2), passes(3)), "the second wave did not go side by side"
    assert max(passes(2), passes(3)) < min(begins(4), begins(5))


def test_failure_in_the_second_wave_takes_back_the_first(first: tuple[Operator, Result], fleet: Sandbox) -> None:
    operator, _ = first
    before, running = units(fleet.hosts), pids(fleet)
    result = operator.deploy(HUBLAB_CONCURRENCY=BAD_GATE, HUBLAB_GATE_SECONDS="60")
    assert result.status != 0
    assert "hublab-1-1: put back on release" in result.text
    assert "FAILED: hublab-3-1 failed its gate; rolled back" in result.text
    assert f"FAILED: the rollout failed at {fleet.hosts[2].address}; rolled back" in result.text
    assert result.text.count(f"not started: the rollout stopped at {fleet.hosts[2].address}") >= 2
    assert units(fleet.hosts) == before
    assert pids(fleet)[3:] == running[3:], "hosts of the third wave were touched"
    assert [left_behind(host) for host in fleet.hosts] == [""] * HOSTS


def test_canary_whose_runs_fail_goes_back(first: tuple[Operator, Result], fleet: Sandbox) -> None:
    """Its gate passes, it polls, it is ONLINE: only that flow runs fail at it which complete at the others."""
    operator, _ = first
    before, running = units(fleet.hosts), pids(fleet)
    struck = Struck(operator, HUBLAB_CONCURRENCY=BAD_RUNS, HUBLAB_CANARY_SECONDS="240")
    struck.until(r"hublab-1-1: canary for 240 s")
    began = time.monotonic()
    with fleet.api() as api:
        for number in (2, 1, 1):
            picky = runs.register(api, "picky.py:picky", directory=str(FLOWS), queue=f"probe-hublab-{number}-1")
            ended = runs.await_state(api, runs.start(api, picky))
            assert ended.type == ("FAILED" if number == 1 else "COMPLETED"), ended
    result = struck.end()
    assert time.monotonic() - began < 240, "the canary was not given up before its time was over"
    assert result.status != 0
    said = "hublab-1-1: FAILED as the canary: 2 of its 2 flow runs did not complete (100%), of the others' 1 it was 0%"
    assert said in result.text, result.text
    assert "FAILED: hublab-1-1 failed as the canary; rolled back" in result.text
    assert units(fleet.hosts) == before
    assert pids(fleet)[1:] == running[1:], "hosts behind the canary were touched"
