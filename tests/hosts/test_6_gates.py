"""Releases that cannot pass, a disk that fills up, a server that is away; and the next deploy converges."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

import pytest

from sandbox import runs
from sandbox.load import Trickle, completes
from sandbox.past import FLOWS
from tests.hosts.faults import MOMENTS, UNITS, Struck, converges, told
from tests.hosts.test_4_rollout import spoil
from tests.hosts.test_5_rollback import left_behind

if TYPE_CHECKING:
    from pathlib import Path

    from sandbox import Machine, Sandbox
    from sandbox.operator import Operator
    from tests.hosts.book import Book

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]

HANG = """
import asyncio

async def _hang(*_: object) -> None:
    await asyncio.sleep(3600)

asyncio.create_subprocess_exec = _hang
"""
GATE_FAULTS = {
    "crash at start": ("worker/__main__.py", 'raise SystemExit("broken on purpose")', "broken on purpose"),
    "never READY": ("worker/__main__.py", "import time\ntime.sleep(3600)", "did not restart: Job"),
    "every run crashes": ("worker/probe_flow.py", 'raise RuntimeError("every run crashes")', "FAILED"),
    "the probe hangs": ("worker/probe_flow.py", HANG, "is still RUNNING"),
}


def serving(machine: Machine) -> str:
    """The processes of all workers and the release of record: none of it may change when a deploy is refused."""
    shown = f"systemctl show -p MainPID --value {UNITS}"
    return machine.ssh(f"{shown}; readlink /opt/hublab/current").stdout


def another(checkout: Path) -> None:
    """Makes the checkout's release a new one, which has to be built."""
    probe = checkout / "worker/probe_flow.py"
    probe.write_text(f"{probe.read_text()}# {checkout}\n")


@pytest.mark.parametrize("fault", GATE_FAULTS)
def test_release_that_fails_its_gate(
    fault: str, three: Operator, machine: Machine, sandbox: Sandbox, load: Trickle, book: Book, broken_checkout: Path
) -> None:
    module, statement, said = GATE_FAULTS[fault]
    release = machine.ssh("readlink /opt/hublab/current").stdout
    spoil(broken_checkout / module, statement)
    result = three.at(broken_checkout).deploy(HUBLAB_GATE_SECONDS="40")
    assert result.status != 0
    assert said in result.text, result.text
    assert "failed its gate; rolled back" in result.text, result.text
    assert machine.ssh("readlink /opt/hublab/current").stdout == release
    assert left_behind(machine) == ""
    plan = three.plan()
    assert re.search(r"note: release \S+: \S+'s deploy of \S+Z failed \(hublab-1-1 failed its gate; rolled", plan.text)
    assert re.search(r"release \S+ will be removed: \S+'s deploy of \S+Z failed", plan.text), plan.text
    following = converges(three, machine, sandbox)
    book.add(f"gate: {fault}", "rolled back, status 1", following, told(load.finish()))


def test_unit_that_does_not_verify(
    three: Operator, machine: Machine, sandbox: Sandbox, load: Trickle, book: Book, broken_checkout: Path
) -> None:
    before = serving(machine)
    template = broken_checkout / "deploy/service/prefect-worker.service.j2"
    template.write_text(template.read_text().replace("Type=notify", "Type=notifyy"))
    result = three.at(broken_checkout).deploy()
    assert result.status != 0
    assert "does not verify" in result.text, result.text
    assert serving(machine) == before
    following = converges(three, machine, sandbox)
    book.add("gate: bad unit", "refused by systemd, no worker touched", following, told(load.finish()))


def test_credential_that_prefect_refuses_changes_nothing(
    three: Operator, machine: Machine, sandbox: Sandbox, load: Trickle, book: Book
) -> None:
    before = serving(machine)
    result = three.deploy(PREFECT_API_AUTH_STRING="hublab:wrong")
    assert result.status != 0
    assert "refuses it (401)" in result.text
    assert serving(machine) == before
    following = converges(three, machine, sandbox)
    book.add("credential refused", "nothing was changed, status 1", following, told(load.finish()))


def test_wheel_that_is_not_what_the_lock_says(
    three: Operator, machine: Machine, sandbox: Sandbox, load: Trickle, book: Book, broken_checkout: Path
) -> None:
    before = serving(machine)
    another(broken_checkout)
    machine.ssh("for wheel in /opt/hublab/wheels/anyio-*.whl; do truncate -s -100 $wheel; done")
    result = three.at(broken_checkout).deploy()
    assert result.status != 0
    assert "could not be built; nothing else was changed" in result.text, result.text
    assert serving(machine) == before
    following = converges(three.at(broken_checkout), machine, sandbox)
    outcome = "not built, no worker touched; the wheels are brought anew"
    book.add("install: a wheel on the host is damaged", outcome, following, told(load.finish()))


def test_lock_that_does_not_install(
    three: Operator, machine: Machine, sandbox: Sandbox, load: Trickle, book: Book, broken_checkout: Path
) -> None:
    before = serving(machine)
    lock = broken_checkout / "requirements.lock"
    lock.write_text(re.sub(r"\A([a-z0-9-]+)==\S+", r"\1==99.99", lock.read_text()))
    result = three.at(broken_checkout).deploy()
    assert result.status != 0
    assert "could not be downloaded" in result.text, result.text
    assert serving(machine) == before
    following = converges(three, machine, sandbox)
    book.add("install: the lock does not install", "nothing was changed, status 1", following, told(load.finish()))


FILL = "head -c 600M /dev/zero > /opt/hublab/filler; sync"
SMALL_DISK = """set -e
mkdir -p /mnt/small
mount -t tmpfs -o size=$(($(du -sm /opt/hublab | cut -f1) + 760))m tmpfs /mnt/small
cp -a /opt/hublab/. /mnt/small/
mount --bind /mnt/small /opt/hublab
"""


def test_disk_that_fills_up_in_the_midst_of_install(
    three: Operator, machine: Machine, sandbox: Sandbox, load: Trickle, book: Book, broken_checkout: Path
) -> None:
    """Room enough when the plan is made; then somebody else takes it."""
    before = serving(machine)
    another(broken_checkout)
    machine.ssh(SMALL_DISK, timeout=120)
    try:
        struck = Struck(three.at(broken_checkout))
        struck.until(*MOMENTS["install"])
        machine.ssh(FILL, timeout=120)
        result = struck.end()
        assert result.status != 0
        assert "could not be built; nothing else was changed" in result.text, result.text
        assert "No space left" in result.text, result.text
        assert serving(machine) == before
        machine.ssh("rm /opt/hublab/filler")
        following = converges(three.at(broken_checkout), machine, sandbox)
    finally:
        machine.ssh("umount /opt/hublab && umount -l /mnt/small")
        settled = converges(three, machine, sandbox)
    assert "gates passed" in settled
    book.add("install: the disk fills up", "not built, no worker touched", following, told(load.finish()))


DIES_ONCE = """
import os
import signal
from prefect import flow
from prefect.runtime import flow_run

@flow
def dies_once(seconds):
    if flow_run.run_count == 1:
        os.kill(os.getpid(), signal.SIGKILL)
"""


def test_canary_whose_run_crashes_though_it_completes_afterwards(
    three: Operator, machine: Machine, sandbox: Sandbox, load: Trickle, book: Book
) -> None:
    """The workers run such a run again within seconds, so that how it ended says nothing of the crash."""
    machine.put(f"{FLOWS}/dies_once.py", DIES_ONCE)
    change = {"HUBLAB_CONCURRENCY": "70"}
    struck = Struck(three, HUBLAB_CANARY_SECONDS="240", **change)
    struck.until(r"hublab-1-1: canary for 240 s")
    with sandbox.api() as api:
        entrypoint = "dies_once.py:dies_once"
        deployment = runs.register(api, entrypoint, directory=str(FLOWS), queue="probe-hublab-1-1")
        api.patch(f"/deployments/{deployment}", json={"tags": ["run-again"]}).raise_for_status()
        run = runs.start(api, deployment, {"seconds": 0.0})
        result = struck.end()
        assert result.status != 0
        assert re.search(r"hublab-1-1: FAILED as the canary: 1 of its \d+ flow runs crashed", result.text), result.text
        assert completes(api, run, timeout=240)
        assert api.get(f"/flow_runs/{run}").json()["run_count"] == 2
    following = converges(three, machine, sandbox, **change)
    book.add("canary: a run crashes, and is run again", "rolled back, status 1", following, told(load.finish()))


@pytest.mark.parametrize("stage", ["before", "gate", "gate and roll-back"])
def test_server_that_is_away_loses_no_run_and_the_deploy_is_gone_on_with(
    stage: str, three: Operator, machine: Machine, sandbox: Sandbox, book: Book
) -> None:
    load, change = Trickle(sandbox), {"HUBLAB_CONCURRENCY": str(50 + len(stage)), "HUBLAB_GATE_SECONDS": "20"}
    load.start()
    struck = Struck(three, **change) if stage != "before" else None
    if struck:
        struck.until(*MOMENTS["gate"])
    while len(load.created) < 2:
        time.sleep(0.5)
    load.stopped.set()
    load.join(60)
    sandbox.stop_api()
    struck = struck or Struck(three, **change)
    if stage == "gate":
        struck.until(r"hublab-1-1: FAILED")
        sandbox.start_api()
    result = struck.end()
    if stage != "gate":
        sandbox.start_api()
    said, outcome = {
        "before": ("could not be reached from the host", "nothing was changed, status 1"),
        "gate": ("rolled back", "rolled back, status 1"),
        "gate and roll-back": ("NOT all of it could be rolled back", "the way back is tried too, status 1"),
    }[stage]
    assert result.status != 0
    assert said in result.text, result.text
    change["HUBLAB_GATE_SECONDS"] = "90"
    following = converges(three, machine, sandbox, **change)
    book.add(f"Prefect's server away: {stage}", outcome, following, told(load.finish()))
