"""After the lock is taken the host is looked at again; and what the command line may say of waves."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
from pyinfra import logger
from pyinfra.api import DeployError

from deploy import look
from deploy.plan import make
from deploy.rollout import hold
from deploy.rollout.activate import Rollout
from deploy.rollout.member import Member
from tests.deploy.factories import bare, converged, wanted

if TYPE_CHECKING:
    from deploy.state import HostState

HOST = wanted()
BEFORE = converged(HOST, "3.8.0-old")


def take(monkeypatch: pytest.MonkeyPatch, later: HostState) -> tuple[bool, list[str]]:
    """What becomes of a plan for BEFORE when the host looks otherwise once it is locked; and what is said."""
    said: list[str] = []
    host = cast("Any", SimpleNamespace(print_prefix="", connector=None))
    one = Member(host, HOST, BEFORE, make(HOST, BEFORE))
    monkeypatch.setattr(Member, "lock", lambda *_: True)
    monkeypatch.setattr(look, "look", lambda *_, **__: later)
    monkeypatch.setattr(logger, "warning", lambda text, *_: said.append(text))
    monkeypatch.setattr(hold, "announce", lambda _: None)
    return hold.take_hold(one, Rollout()), said


def test_runs_that_came_and_went_are_no_change(monkeypatch: pytest.MonkeyPatch) -> None:
    busy = converged(HOST, "3.8.0-old")
    busy.workers[1] = replace(busy.workers[1], doing="polling default, 3 runs in flight")
    assert make(HOST, busy).words != make(HOST, BEFORE).words
    assert take(monkeypatch, busy) == (True, [])


def test_own_lock_is_no_change(monkeypatch: pytest.MonkeyPatch) -> None:
    assert take(monkeypatch, replace(BEFORE, lock="locked by us")) == (True, [])


def test_change_by_whoever_held_the_lock_before_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    going_on, said = take(monkeypatch, converged(HOST))
    assert going_on
    assert "the host has changed since the plan was made" in said[0]


def test_host_that_can_no_longer_be_deployed_to_stops_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not take(monkeypatch, bare(api_status=401))[0]


@pytest.mark.parametrize("wave", ["two", "-1", 1.5])
def test_wave_that_is_no_number_is_refused(wave: object) -> None:
    with pytest.raises(DeployError, match=f"--wave: {wave} is not a number of hosts"):
        Rollout.shared(cast("Any", SimpleNamespace()), wave=wave)
