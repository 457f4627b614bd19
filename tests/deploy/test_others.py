"""Workers of somebody else in the pool are named wherever the whole fleet is looked at; nobody's own is."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from deploy import others
from deploy.coolify.running import others as others_of_application
from deploy.fleet import status
from deploy.plan import make
from deploy.rollout.activate import Rollout
from deploy.rollout.member import Member
from tests.deploy.coolify.theatre import FakePrefect
from tests.deploy.factories import converged, legacy, wanted
from tests.deploy.fleet.test_status import QUIET
from tests.deploy.fleet_of_three import Inventory

if TYPE_CHECKING:
    from pathlib import Path

    from deploy.onhost.state import HostState

LAPTOP = "Sarah's laptop"


def state(host: Any, *more: str, **changes: Any) -> HostState:
    """A host that is as wanted, whose server believes these workers to be online as well."""
    found = converged(host, hostname=host.address, **changes)
    own = {f"{host.address}-{number}" for number in range(1, host.workers + 1)}
    return replace(found, online=frozenset({*own, *more}))


def planned(
    caplog: pytest.LogCaptureFixture, members: list[Member], what: str = "deploy", hosts: int = 0, plan: str = ""
) -> list[str]:
    """What the plan of a fleet says of workers of nobody; `hosts`: how many the inventory has, where it is more."""
    rollout, there = Rollout(what, plan_file=plan), [one.host for one in members]
    inventory: Any = Inventory(there)
    inventory.inventory = there * (hosts or 1)
    with caplog.at_level("INFO", logger="pyinfra"):
        for one in members:
            rollout.join(inventory, one)
    return [message for message in caplog.messages if "of no host in HUBLAB_HOSTS" in message]


def fleet(*more: str, second: str = "default", **changes: Any) -> list[Member]:
    """Two hosts, each of which hears of the other's workers and of these."""
    found = []
    for name, pool in (("h1", "default"), ("h2", second)):
        host = wanted(address=name, work_pool=pool)
        elsewhere = {f"h1-{n}" for n in (1, 2, 3)} | {f"h2-{n}" for n in (1, 2, 3)} if second == "default" else ()
        there = state(host, *elsewhere, *more, **changes)
        stage = cast("Any", SimpleNamespace(print_prefix="", name=name))
        found.append(Member(stage, host, there, make(host, there)))
    return found


@pytest.fixture(autouse=True)
def whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LIMIT", raising=False)


def test_a_host_that_was_installed_anew_is_no_stranger_to_itself() -> None:
    """Prefect hears of its workers of before for half a minute, and the host has none yet."""
    there = replace(converged(wanted(), hostname="h1"), workers={}, online=frozenset({"h1-1", LAPTOP}))
    assert others.of(there, ["h1-1"]) == {LAPTOP}


def test_the_plan_names_a_worker_that_is_of_no_host_once_with_what_to_do(
    caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    plan = tmp_path / "plan.json"
    (line,) = planned(caplog, fleet(LAPTOP), plan=str(plan))
    assert line.startswith(f"warning: ONLINE in the pool default, and of no host in HUBLAB_HOSTS: {LAPTOP} -> ")
    assert line.endswith("stop them, or name a pool of your own in HUBLAB_WORK_POOL")
    assert [LAPTOP in one["others"] for one in json.loads(plan.read_text())] == [True, True]


def test_the_plan_and_status_say_it_in_the_same_words(caplog: pytest.LogCaptureFixture) -> None:
    members = fleet(LAPTOP)
    (line,) = planned(caplog, members)
    judged = [status.judge(one.wanted, one.plan, replace(QUIET, state=one.state)) for one in members]
    assert status.vanished(judged) == [line.removeprefix("warning: ")]


def test_a_plan_of_the_fleets_own_workers_names_nobody(caplog: pytest.LogCaptureFixture) -> None:
    assert planned(caplog, fleet()) == []


def test_what_a_deploy_retires_is_no_stranger(caplog: pytest.LogCaptureFixture) -> None:
    """Nor, where it has no name, any whose name is Prefect's own; the plan names it with its process."""
    old = (legacy(name="perfect-worker"),)
    (line,) = planned(caplog, fleet("perfect-worker", "ProcessWorker 1f", legacy=old))
    assert "HUBLAB_HOSTS: ProcessWorker 1f -> " in line
    caplog.clear()
    assert planned(caplog, fleet("ProcessWorker 1f", legacy=(legacy(name=""),))) == []


def test_a_plan_of_a_part_of_the_fleet_names_nobody(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They may be those of the hosts that were not looked at."""
    assert planned(caplog, fleet(LAPTOP), hosts=2) == []
    assert planned(caplog, fleet(LAPTOP), "rollback") == []
    monkeypatch.setenv("LIMIT", "h1,h2")
    assert planned(caplog, fleet(LAPTOP)) == []


def test_each_pool_has_strangers_of_its_own(caplog: pytest.LogCaptureFixture) -> None:
    one, two = fleet(LAPTOP, second="nightly")
    two.state = state(two.wanted, "cron")
    first, second = planned(caplog, [one, two])
    assert f"in the pool default, and of no host in HUBLAB_HOSTS: {LAPTOP} -> " in first
    assert "in the pool nightly, and of no host in HUBLAB_HOSTS: cron -> " in second


def test_a_strangers_name_does_nothing_to_a_terminal() -> None:
    (line,) = others.told([others.Polled("default", ("lap\x1b[2Jtop\n",))])
    assert "an application of Coolify's: stop it there" in line
    assert "lap?[2Jtop?" in line


def test_an_application_of_coolifys_knows_who_else_is_online() -> None:
    prefect = FakePrefect()
    for name, seen in (("app-1", "ONLINE"), (LAPTOP, "ONLINE"), ("gone", "OFFLINE")):
        prefect.workers[name] = {"name": name, "status": seen}
    assert others_of_application(prefect, "default", "app") == {LAPTOP}
