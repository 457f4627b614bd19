"""A fleet of SSH hosts and applications is rolled out, and goes back, as one."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
from pyinfra.api import DeployError

from deploy.coolify.ledger import LEASE_SECONDS, LockError
from deploy.coolify.member import ApplicationMember
from deploy.coolify.plan import ApplicationPlan, back, make
from deploy.coolify.state import Kept
from deploy.fleet.connect import Host, _ask
from deploy.plan import make as make_host
from deploy.planned import Plan
from deploy.rollout.activate import Rollout
from deploy.rollout.conductor import conduct
from deploy.rollout.report import render
from tests.deploy.coolify.standin import APP
from tests.deploy.coolify.test_plan import HOST, state
from tests.deploy.coolify.theatre import NEW, OLD, OWNER, RELEASES, Theatre
from tests.deploy.factories import bare, wanted
from tests.deploy.rollout.test_conductor import Recorder

if TYPE_CHECKING:
    from deploy.onhost.watch_canary import WatchCanary
    from deploy.rollout.members import AnyMember

ADDRESS = f"coolify:{APP}"


class Fleet:
    """One SSH host and one application that serves an older commit; both have something to do."""

    def __init__(self, failing: str = "", **changes: Any) -> None:
        self.theatre = Theatre(**changes)
        self.theatre.served()
        self.theatre.mover.ledger.take("token", OWNER)
        host = cast("Any", SimpleNamespace(print_prefix="", name=ADDRESS))
        look = self.theatre.look
        self.application = ApplicationMember(
            host, self.theatre.wanted, self.theatre.mover, lambda wanted, _: make(wanted, look())
        )
        self.application.state = look()
        self.journal: list[str] = []
        spec, state = wanted(address="h1", workers=1), bare(hostname="h1")
        self.ssh = Recorder(spec, state, make_host(spec, state), self.journal, frozenset(filter(None, [failing])))

    @property
    def serves(self) -> str:
        return self.theatre.look().release


def test_both_kinds_in_one_rollout_each_with_its_own_steps() -> None:
    fleet = Fleet()
    outcomes = conduct([fleet.ssh, fleet.application], "ada@desk")
    assert [(item.ok, item.ended, item.gates, item.done) for item in outcomes.values()] == [
        (True, True, 1, ["h1-1"]),
        (True, True, 1, [ADDRESS]),
    ]
    assert fleet.serves == RELEASES[NEW]
    assert fleet.journal == ["h1 put_secrets", "h1 h1-1", "h1 finish_host"]
    line = fleet.theatre.mover.ledger.history()[-1]
    assert (line.who, line.previous, line.to, line.result) == ("ada@desk", OLD, NEW, "ok")


def test_application_goes_back_when_a_host_after_it_fails() -> None:
    fleet = Fleet(failing="h1-1")
    outcomes = conduct([fleet.application, fleet.ssh], "ada@desk")
    assert outcomes[ADDRESS].reason == "the rollout failed at h1; rolled back"
    assert fleet.serves == RELEASES[OLD]
    assert fleet.theatre.coolify.app["git_commit_sha"] == OLD
    assert fleet.theatre.mover.ledger.before() is None
    assert fleet.theatre.mover.ledger.history()[-1].result == "the rollout failed at h1; rolled back"
    assert fleet.journal[-2:] == ["h1 roll_back", "h1 finish_host"]


def test_host_goes_back_when_an_application_after_it_fails() -> None:
    fleet = Fleet()
    fleet.theatre.coolify.ends = ["failed"]
    outcomes = conduct([fleet.ssh, fleet.application], "ada@desk")
    assert outcomes["h1"].reason == f"the rollout failed at {ADDRESS}; rolled back"
    assert "h1 roll_back" in fleet.journal
    words = f"{ADDRESS}: its deployment dep2 is failed; what served before serves on; rolled back"
    assert outcomes[ADDRESS].reason == words
    assert fleet.serves == RELEASES[OLD]


def test_lock_that_was_lost_in_the_middle_ends_it_and_nothing_more_is_begun() -> None:
    fleet = Fleet()
    fleet.theatre.operator().ledger.unlock()
    (outcome,) = conduct([fleet.application], "ada@desk").values()
    assert "no longer ours: it was removed" in outcome.reason
    assert "NOT all of it could be rolled back" in outcome.reason
    assert fleet.theatre.coolify.journal == []


def test_lock_that_is_taken_long_after_the_plan_outlives_a_prefect_that_is_away_for_a_moment() -> None:
    """Other hosts are looked at meanwhile, and a large fleet takes minutes."""
    fleet = Fleet()
    theatre, member = fleet.theatre, fleet.application
    theatre.sleep(2 * LEASE_SECONDS)
    assert member.lock("token", OWNER)
    theatre.prefect.away = True
    theatre.mover.keep_lock()
    theatre.sleep(LEASE_SECONDS + 1)
    with pytest.raises(LockError, match="nobody knows whose the lock is"):
        theatre.mover.keep_lock()
    member.unlock()


def test_canary_is_compared_and_goes_back_when_it_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str, float]] = []

    def watch(query: WatchCanary, alive: Any) -> int:
        asked.append((query.worker, alive(), query.seconds))
        return 1

    monkeypatch.setattr("deploy.onhost.watch_canary.watch", watch)
    fleet = Fleet(canary_seconds=30)
    (outcome,) = conduct([fleet.application], "ada@desk").values()
    assert asked == [(f"{APP}-1", f"{APP}-1", 30)]
    assert outcome.reason == f"{ADDRESS} failed as the canary; rolled back"
    assert fleet.serves == RELEASES[OLD]


def test_table_has_a_row_for_each_kind() -> None:
    fleet = Fleet()
    members = cast("list[AnyMember]", [fleet.application])
    text = render(members)
    assert f"worker ({ADDRESS})" in text
    assert RELEASES[OLD] in text


def rolled_back(*plans: Any) -> None:
    """Each goes back by its plan."""
    rollout = Rollout("rollback")
    for plan in plans:
        member: Any = SimpleNamespace(address=plan.address, name=plan.address, plan=plan)
        rollout.members[plan.address] = member
    rollout.demand_unity()


def of_commit(address: str, commit: str, release: str) -> ApplicationPlan:
    return ApplicationPlan(address, release=commit, expected=frozenset({release}))


def test_host_git_application_and_image_application_go_back_to_one_release_whatever_names_it() -> None:
    """A release's id, a commit, an image's tag: each with a Python of its own, of one lock and code."""
    host, image = Plan("h1", release="3.8.8-a-1"), of_commit("c2", "3.8.8-a-2", "3.8.8-a-2")
    rolled_back(host, of_commit("c1", OLD, "3.8.8-a-2"), image, of_commit("c3", NEW, "3.8.8-a-3"))
    others = [
        of_commit("c1", OLD, "3.8.8-b-2"),
        of_commit("c2", "3.8.8-b-2", "3.8.8-b-2"),
        Plan("h2", release="3.8.8-b-1"),
    ]
    for other in others:
        with pytest.raises(DeployError, match="go back to different releases"):
            rolled_back(host, other)
    with pytest.raises(DeployError, match="go back to different releases"):
        rolled_back(image, of_commit("c1", OLD, "3.8.8-b-2"))


def test_application_whose_worker_never_said_its_release_goes_by_its_commit() -> None:
    rolled_back(of_commit("c1", OLD, ""), of_commit("c2", OLD, ""))
    with pytest.raises(DeployError, match="go back to different releases"):
        rolled_back(of_commit("c1", OLD, ""), of_commit("c2", NEW, ""))


@pytest.mark.parametrize(
    "named", ["3.8.8-a-1", "3.8.8-a-9", "3.8.8-a", "a" * 7], ids=["its", "a host's", "set", "commit"]
)
def test_one_name_of_a_release_leads_hosts_and_applications_to_it(named: str) -> None:
    kept = (Kept(NEW, "3.8.8-b-1", {}), Kept("c" * 40, "3.8.8-a-2", {}), Kept(OLD, "3.8.8-a-1", {}))
    plan = back(HOST, state(kept=kept), named)
    assert plan.release == ("c" * 40 if named in ("3.8.8-a-9", "3.8.8-a") else OLD)


def test_question_to_hosts_alone_is_not_put_to_an_application() -> None:
    host = Host(Theatre().wanted, ())
    assert _ask(host, lambda _: "host", None).error.startswith("is an application of Coolify's")
    assert _ask(host, lambda _: "host", lambda wanted: wanted.application).answer == APP


def test_way_back_is_planned_by_what_has_served() -> None:
    theatre = Theatre()
    theatre.served(OLD)
    theatre.deploy()
    assert back(theatre.wanted, theatre.look()).release == OLD
