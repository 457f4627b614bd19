"""An SSH host and two applications of Coolify's in one fleet, on real parts: rolled out, and taken back, as one."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from sandbox.coolify import host
from sandbox.layout import CHECKOUT
from tests.containers.fleet import BOTH, FIRST, SECOND, TWIN, Fleet
from tests.deploy.coolify.standin import APP

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox import Machine
    from sandbox.coolify.daemon import Daemon
    from tests.containers.coolify import Application
    from tests.containers.stage import Stage

STARTS_NO_RUN = {"worker/probe_flow.py": 'raise RuntimeError("no run starts here")\n'}
GATE = {"HUBLAB_GATE_SECONDS": "15"}


def module(name: str) -> dict[str, str]:
    """What makes a release another one, and no worse."""
    return {f"flows/{name}.py": '"""A module that the first release has not."""\n'}


@pytest.fixture(scope="module")
def twin(stage: Stage) -> Iterator[Application]:
    """A second application, whose image of the first commit is there. Its worker polls what the first one's does."""
    stage.back_to_first()
    app = stage.add(TWIN, name="twin")
    stage.daemon.docker("tag", f"{APP}:{stage.first}", f"{TWIN}:{stage.first}")
    yield app
    stage.remove(app)


@pytest.fixture(scope="module")
def machine(daemon: Daemon, twin: Application) -> Iterator[Machine]:
    """An SSH host in the containers' network."""
    assert twin.containers() == []
    with host.booted(daemon.layout) as machine:
        yield machine


@pytest.fixture(scope="module")
def fleet(stage: Stage, twin: Application, machine: Machine) -> Fleet:
    """All three, after a first deploy that was an upgrade of one of them. The wheels are those of this checkout."""
    wheels = CHECKOUT / ".hublab/wheels"
    wheels.mkdir(mode=0o700, parents=True, exist_ok=True)
    (stage.desk.checkout / ".hublab").mkdir(exist_ok=True)  # a command before may have made it
    (stage.desk.checkout / ".hublab/wheels").symlink_to(wheels)
    fleet = Fleet(stage, twin, machine)
    fleet.release = stage.made(module("mixed"), BOTH)
    fleet.planned = fleet.hublab("plan")
    assert fleet.journal == []
    fleet.deployed = fleet.hublab("deploy", "--yes", HUBLAB_CANARY_SECONDS="3")
    assert fleet.deployed.status == 0, fleet.deployed.text
    return fleet


@pytest.fixture
def settled(fleet: Fleet) -> Iterator[Fleet]:
    """All three serve the release of the first deploy, and the journal is empty; a test leaves them so."""
    fleet.stage.desk.at(fleet.release)
    fleet.watch()
    yield fleet
    fleet.stage.desk.at(fleet.release)


def test_fleet_is_planned_and_deployed_one_by_one_the_host_as_the_canary(settled: Fleet) -> None:
    fleet, planned, text = settled, settled.planned, settled.deployed.text
    assert planned.status == 2, planned.text
    for address in (fleet.machine.address, FIRST, SECOND):
        assert re.search(rf"\[{address}\] +plan: release of record: ", planned.text), planned.text
    assert fleet.serve == fleet.at(fleet.release)
    order = ["canary passed", f"[{FIRST}] deployment", f"[{SECOND}] deployment"]
    assert [text.index(words) for words in order] == sorted(text.index(words) for words in order), text
    assert text.count("1 of 1 COMPLETED  deployed") == 3, text

    again = fleet.hublab("plan")
    assert again.status == 0, again.text
    status = fleet.hublab("status")
    assert (status.status, "3 of 3 hosts as planned" in status.text) == (0, True), status.text
    history = fleet.hublab("history").text
    assert history.count(fleet.release[:10]) == 2, history


@pytest.mark.long
def test_fleet_is_proven(settled: Fleet) -> None:
    verified = settled.hublab("verify")
    assert verified.status == 0, verified.text


def test_second_application_is_not_touched_when_the_gate_of_the_first_fails(settled: Fleet) -> None:
    stage, there = settled.stage, settled.settings
    containers = [stage.container(), stage.container(settled.twin)]
    stage.made(STARTS_NO_RUN, BOTH)
    done = settled.hublab("deploy", "--yes", "--limit", "coolify:*", **GATE)
    assert done.status == 1, done.text
    assert "what served before serves on; rolled back" in done.text
    assert f"not started: the rollout stopped at {FIRST}" in done.text
    assert [line for line in settled.journal if TWIN in line] == []
    assert [stage.container(), stage.container(settled.twin)] == containers
    assert settled.settings == there
    assert settled.serve == settled.at(settled.release)


def test_host_alone_then_the_applications_by_bare_pyinfra_then_all_go_back(settled: Fleet) -> None:
    old, last = settled.stage.container(), settled.stage.made(module("last"), BOTH)
    alone = settled.hublab("deploy", "--yes", "--limit", settled.machine.address)
    assert alone.status == 0, alone.text
    assert settled.journal == []
    assert settled.serve == [*settled.at(last)[:1], *settled.at(settled.release)[1:]]
    rest = settled.pyinfra()
    assert rest.status == 0, rest.text
    assert settled.serve == settled.at(last)
    assert [rest.text.count(words) for words in ("no change", "COMPLETED  deployed")] == [1, 2], rest.text
    begun = next(number for number, line in enumerate(settled.journal) if f"/applications/{TWIN}" in line)
    assert settled.journal.index(f"stops {old}") < begun, "the gate of the first comes before"

    back = settled.hublab("rollback", "--yes")
    assert back.status == 0, back.text
    assert settled.serve == settled.at(settled.release)


def test_last_application_that_fails_takes_the_first_and_the_host_back(settled: Fleet) -> None:
    stage, there = settled.stage, settled.settings
    stage.made(module("undone"), BOTH)
    settled.twin.lies = [f"{TWIN}:{settled.release}"]
    done = settled.hublab("deploy", "--yes")
    assert done.status == 1, done.text
    assert f"has finished, and {TWIN}-" in done.text
    assert done.text.count("rolled back") >= len((settled.machine.address, *BOTH)), done.text
    assert settled.serve == settled.at(settled.release)
    assert settled.settings == there
    again = settled.hublab("plan")
    assert again.status == 2, again.text  # the release that failed is still wanted
    assert "unfinished" not in again.text, again.text
