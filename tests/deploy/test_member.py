"""A host of a run: its lock is kept fresh, every step carries it, and a silent connection is given up."""

from __future__ import annotations

from typing import Any, cast

import pytest

from deploy import remote
from deploy.plan import Plan, make
from deploy.rollout import member as module
from deploy.rollout.member import Member
from tests.deploy.factories import bare, wanted

OWNER = {"who": "ada@desk", "what": "deploy of release r1"}


class Host:
    """A connection that answers what it is told to, or breaks."""

    print_prefix = ""

    def __init__(self) -> None:
        self.connector = self
        self.client = self
        self.open = True
        self.asked: list[dict[str, Any]] = []
        self.answers: dict[str, Any] = {}

    def close(self) -> None:
        self.open = False

    def answer(self, _host: object, _python: str, program: str, query: dict[str, Any], **_: object) -> bool:
        self.asked.append({"program": program, **query})
        found = self.answers.get(query.get("phase", program), True)
        if isinstance(found, Exception):
            raise found
        return bool(found)


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Host:
    made = Host()
    monkeypatch.setattr(remote, "run", made.answer)
    monkeypatch.setattr(module, "REFRESH_SECONDS", 0)
    return made


def member(host: Host) -> Member:
    plan: Plan = make(wanted(), bare())
    return Member(cast("Any", host), wanted(), bare(), plan)


def test_every_step_carries_the_lock_as_long_as_it_is_held(host: Host) -> None:
    one = member(host)
    assert one.lock("t1", OWNER)
    one.run("roll_worker", {"unit": "u"}, detached=True)
    one.unlock()
    one.run("inspect_host", {})
    taken, rolled, released, after = host.asked
    assert (taken["phase"], taken["token"], taken["owner"]) == ("take", "t1", OWNER)
    assert taken["patience_seconds"] > wanted().drain_seconds + 2 * wanted().gate_seconds
    assert rolled["lock"] == {"folder": "/run/hublab", "token": "t1"}
    assert (released["phase"], released["token"]) == ("release", "t1")
    assert "lock" not in after


def test_lock_of_somebody_else_is_not_held(host: Host) -> None:
    host.answers["take"] = False
    one = member(host)
    assert not one.lock("t1", OWNER)
    one.unlock()
    assert [item["phase"] for item in host.asked] == ["take"]


def test_lost_lock_is_not_refreshed_again_and_the_connection_stays(host: Host) -> None:
    host.answers["refresh"] = False
    one = member(host)
    one.lock("t1", OWNER)
    one._refresher.join()
    assert [item["phase"] for item in host.asked] == ["take", "refresh"]
    assert host.open


def test_connection_that_breaks_is_closed_so_that_nobody_waits_for_it(host: Host) -> None:
    host.answers["refresh"] = OSError("gone")
    one = member(host)
    one.lock("t1", OWNER)
    one._refresher.join()
    assert not host.open


def test_step_over_a_broken_connection_is_a_failure_of_this_host(host: Host) -> None:
    host.answers["roll_worker"] = OSError("gone")
    assert not member(host).run("roll_worker", {})
