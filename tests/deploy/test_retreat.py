"""The plan of a rollback: which release, which units, and what stands in the way."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from deploy.retreat import make
from deploy.service import unit
from tests.deploy.factories import converged, finished, release_name, running, wanted

if TYPE_CHECKING:
    from deploy.planned import Plan
    from deploy.state import HostState

HOST = wanted()
OLD = "3.8.0-old"


def state(**changes: Any) -> HostState:
    """Runs the newest release; the one before is still there."""
    before = converged(HOST, previous=OLD)
    return replace(before, **{"releases": before.releases | {OLD: finished(OLD)}, **changes})


def text_of(number: int) -> str:
    """A unit as it was kept with the old release, with a setting that is another one today."""
    host = replace(HOST, concurrency=9)
    return unit.render(host, hostname="hublab-1", number=number, release=OLD, python_prefix="/usr/local")


def plan(release: str = "", **changes: Any) -> Plan:
    return make(HOST, state(**changes), release)


def test_without_a_name_it_is_the_release_before() -> None:
    back = plan()
    assert (back.release, back.build, back.switch, back.prune) == (OLD, False, True, ())
    assert [step.number for step in back.restarts] == [1, 2, 3]
    assert f"release of record: {release_name()} → {OLD}" in back.words


@pytest.mark.parametrize(
    ("line", "then"),
    [
        ('Environment="HUBLAB_WORK_QUEUES=default"', 'Environment="HUBLAB_WORK_QUEUES=default,mails,handlers"'),
        ('Environment="HUBLAB_WORK_QUEUES=mails,vip"', 'Environment="HUBLAB_WORK_QUEUES=mails,vip,handlers"'),
        ("Environment=HUBLAB_WORK_QUEUES=default", "Environment=HUBLAB_WORK_QUEUES=default,mails,handlers"),
        ('Environment="HUBLAB_WORK_QUEUES=handlers,mails"', 'Environment="HUBLAB_WORK_QUEUES=handlers,mails"'),
    ],
)
def test_a_worker_of_before_polls_the_campaigns_queues_as_well(line: str, then: str) -> None:
    """Runs wait in them that no worker of that time knew of: they would wait for ever."""
    assert unit.polling(f"[Service]\n{line}\nRestart=always\n", ["mails", "handlers"]) == (
        f"[Service]\n{then}\nRestart=always\n"
    )


def test_way_back_keeps_the_campaigns_queues() -> None:
    text = text_of(1).replace("HUBLAB_WORK_QUEUES=default", "HUBLAB_WORK_QUEUES=vip")
    assert "=vip" in text
    kept = {OLD: {"prefect-worker@1.service": text}}
    (first, *_) = make(replace(HOST, campaign_queues=("mails",)), state(kept=kept)).workers
    assert first.unit == text.replace("=vip", "=vip,mails")


def test_units_come_back_as_they_were_kept_and_the_rest_are_rendered() -> None:
    kept = {OLD: {"prefect-worker@1.service": text_of(1), "prefect-worker@2.service": text_of(2)}}
    steps = plan(kept=kept).workers
    assert "Environment=HUBLAB_CONCURRENCY=9" in steps[0].unit
    assert "Environment=HUBLAB_CONCURRENCY=9" in steps[1].unit
    assert "Environment=HUBLAB_CONCURRENCY=4" in steps[2].unit
    assert f"HUBLAB_RELEASE={OLD}\n" in steps[2].unit


def test_release_that_is_named_is_gone_back_to() -> None:
    assert plan(OLD, previous=None).release == OLD


def test_release_that_is_there_already_changes_nothing() -> None:
    assert not plan(release_name()).changes


def test_rollout_that_was_cut_off_goes_back_to_the_release_of_record() -> None:
    workers = {1: running(HOST, 1), 2: running(HOST, 2, OLD), 3: running(HOST, 3, OLD)}
    back = plan(rollout_open=True, current=OLD, previous="3.7.0-older", workers=workers)
    assert (back.release, back.switch) == (OLD, False)
    assert 1 in [step.number for step in back.restarts]


def test_release_of_another_server_is_not_gone_back_to_with_this_servers_credential() -> None:
    """Its units would come with their address, and no former credential is kept on a host."""
    elsewhere = replace(HOST, api_url="https://other.example.com/api")
    text = unit.render(elsewhere, hostname="hublab-1", number=1, release=OLD, python_prefix="/usr/local")
    (problem,) = plan(kept={OLD: {"prefect-worker@1.service": text}}).problems
    assert problem.what == (
        f"release {OLD} spoke to another address than PREFECT_API_URL: https://prefect.example.com/api"
    )
    assert "put the address and the credential of that time into .env" in problem.remedy


def test_what_stands_in_the_way_is_named_with_what_would_do() -> None:
    (nothing,) = plan(previous=None).problems
    assert nothing.what == "there is no release before this one"
    (absent,) = plan("3.1").problems
    assert absent.what == "--to: 3.1 is not on the host"
    assert f"./hublab rollback --to {OLD} or {release_name()}" in absent.remedy
    broken = {OLD: finished(OLD, code_changed=True)}
    (changed,) = plan(releases=broken).problems
    assert changed.what == f"release {OLD} is not whole, or was changed since it was built"
    assert changed.remedy == "run `./hublab deploy`"


def test_release_of_the_same_lock_and_code_is_found_by_another_hosts_name() -> None:
    """A fleet of Debian 12 and 13 has one release for each Python; naming one of them takes all hosts back."""
    here, there = "3.8.0-0123456789-aaaaaa", "3.8.0-0123456789-bbbbbb"
    found = state(releases=converged(HOST).releases | {here: finished(here)})
    assert make(HOST, found, there).release == here
    assert make(HOST, found, "3.8.0-0000000000-bbbbbb").problems


def test_release_comes_back_with_its_own_interpreter() -> None:
    """A worker whose unit was not kept with it is shown that one, not what would be built for today."""
    brought = "/opt/hublab/python/3.12.9-0123456789"
    found = state(releases=converged(HOST).releases | {OLD: finished(OLD, python_prefix=brought)})
    steps = make(HOST, found).workers
    assert all(f" {brought} " in step.unit for step in steps)
    assert not any(brought in step.unit for step in make(HOST, state()).workers)
