"""However a host dies: the rollout ends, says what is true of each host, and writes nothing without its lock."""

from __future__ import annotations

from typing import TYPE_CHECKING

import gevent
import pytest
from pyinfra.api import DeployError

from deploy.onhost.finish_host import FinishHost
from deploy.rollout.conductor import Conductor
from deploy.rollout.hold import hold_all
from deploy.rollout.machine import Outcome
from tests.deploy.fleet_of_three import HOSTS, Fault, Fleet

if TYPE_CHECKING:
    from deploy.onhost.wire import Query

FIRST, SECOND = "prefect-worker@1.service", "prefect-worker@2.service"
FAULTS = (
    "SSH is cut",
    "the way to it is gone",
    "the power is cut",
    "it never comes back",
    "the operator is suspended",
    "./hublab unlock",
    "a bug of ours",
)
MOVING = ("put_secrets", FIRST, SECOND)


def outcomes(fleet: Fleet) -> dict[str, Outcome]:
    ended = fleet.ends_with()
    assert all(isinstance(value, Outcome) for value in ended.values()), ended
    return ended  # type: ignore[return-value]


def true_of_each(fleet: Fleet, ended: dict[str, Outcome]) -> None:
    """What the table says of a host is what is on it; and no host that can be reached is left locked."""
    for name, outcome in ended.items():
        computer, reason = fleet.computers[name], outcome.reason
        if outcome.ok:
            assert computer.is_new, name
        elif "NOT all" not in reason and ("rolled back" in reason or "not started" in reason):
            assert computer.is_old, (name, reason)
        if fleet.links[name].answers:
            assert computer.lock in ("", "another's"), f"{name} is left locked"


def test_without_a_fault_all_three_are_new(monkeypatch: pytest.MonkeyPatch) -> None:
    fleet = Fleet(monkeypatch)
    ended = outcomes(fleet)
    assert [ended[name].ok for name in HOSTS] == [True] * 3
    assert all(computer.is_new and computer.lock == "" for computer in fleet.computers.values())


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("stage", MOVING)
@pytest.mark.parametrize("host", HOSTS)
def test_fault_while_a_host_is_moved(host: str, stage: str, fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fleet = Fleet(monkeypatch, Fault(fault, host, stage))
    ended = outcomes(fleet)
    assert fleet.struck
    true_of_each(fleet, ended)
    assert not ended[host].ok
    for name in HOSTS:
        if name != host:
            expected = "the rollout failed at" if name < host else "not started: the rollout stopped at"
            assert ended[name].reason.startswith(f"{expected} {host}"), ended[name].reason
            assert fleet.computers[name].is_old
            assert fleet.computers[name].audit == ([ended[name].reason] if name < host else [])
    went_back = fault in ("SSH is cut", "a bug of ours")
    assert fleet.computers[host].is_old == went_back or (
        stage == "put_secrets" and fleet.computers[host].before is None
    )
    assert ("NOT all of it could be rolled back" in ended[host].reason) != went_back, ended[host].reason


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("host", HOSTS)
def test_fault_while_a_host_is_finished(host: str, fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every worker everywhere has passed by then: the other hosts come to their end."""
    fleet = Fleet(monkeypatch, Fault(fault, host, "finish_host"))
    ended = outcomes(fleet)
    assert fleet.struck
    true_of_each(fleet, ended)
    assert [name for name in HOSTS if ended[name].ok] == [name for name in HOSTS if name != host]
    assert ended[host].reason


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("host", HOSTS)
def test_fault_on_the_way_back_leaves_the_other_hosts_gone_back(
    host: str, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last host's second worker fails its gate, and then one of the three cannot go back at once."""
    fleet = Fleet(monkeypatch, Fault(fault, host, "roll_back"))
    fleet.computers["h3"].bad = SECOND
    ended = outcomes(fleet)
    assert fleet.struck
    true_of_each(fleet, ended)
    assert not any(outcome.ok for outcome in ended.values())
    for name in HOSTS:
        if name != host or fault == "SSH is cut":
            assert fleet.computers[name].is_old
            assert ended[name].reason.endswith("; rolled back")


@pytest.mark.parametrize("host", HOSTS)
def test_lost_lock_is_the_reason_that_is_given(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fleet = Fleet(monkeypatch, Fault("the operator is suspended", host, FIRST))
    reason = outcomes(fleet)[host].reason
    assert reason.startswith(f"{host}-1: the lock is no longer ours: another's"), reason
    assert fleet.computers[host].asked == ["put_secrets"], "something was written without the lock"


def test_host_that_dies_after_its_last_step_keeps_no_other_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    fleet = Fleet(monkeypatch)
    finish = fleet.computers["h2"].execute

    def dies(query: Query) -> bool:
        done = finish(query)
        fleet.computers["h2"].up = not isinstance(query, FinishHost)
        return done

    monkeypatch.setattr(fleet.computers["h2"], "execute", dies)
    ended = outcomes(fleet)
    assert [ended[name].ok for name in HOSTS] == [True, False, True]
    assert ended["h2"].reason.startswith("it could not be looked at afterwards")
    assert fleet.rollout.members["h2"].unseen


@pytest.mark.parametrize("error", [RuntimeError("a bug"), gevent.GreenletExit()])
def test_whoever_waits_for_the_conductor_fails_with_it(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(*_: object) -> None:
        raise error

    monkeypatch.setattr(Conductor, "run", run)
    ended = list(Fleet(monkeypatch).ends_with().values())
    assert ended[0] is error
    assert all(isinstance(value, (RuntimeError, DeployError)) for value in ended[1:]), ended


def test_of_two_operators_who_start_at_once_one_gets_every_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each would get some, and both would fail, if every host were locked as soon as it answers."""
    fleet = Fleet(monkeypatch)
    for name in HOSTS[1:]:
        assert fleet.computers[name].lock == ""
    fleet.computers["h1"].lock = "another's"
    monkeypatch.setattr(fleet.rollout.members["h1"], "lock", lambda *_: False)
    assert hold_all(fleet.rollout) == set()
    assert [fleet.computers[name].lock for name in HOSTS] == ["another's", "", ""]
