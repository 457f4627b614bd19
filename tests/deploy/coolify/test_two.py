"""A git application and an image application are rolled out, and go back, as one."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from deploy.coolify.member import ApplicationMember
from deploy.coolify.plan import ApplicationPlan, back, make
from deploy.rollout.activate import Rollout
from deploy.rollout.conductor import conduct
from tests.deploy.coolify.standin import APP
from tests.deploy.coolify.theatre import ACCESS, NEW, OLD, OWNER, RELEASES, FakePrefect, Theatre

if TYPE_CHECKING:
    from collections.abc import Callable

    from deploy.coolify.state import ApplicationState
    from deploy.rollout.machine import Outcome
    from deploy.spec import WorkerHost

IMAGE_APP = "app2app2"
GIT, IMAGE = f"coolify:{APP}", f"coolify:{IMAGE_APP}"
DEPLOY = "POST /deploy"


class Pair:
    """Both serve an older release, and have served none before; all that Coolify did is in `journal`, in order."""

    def __init__(self) -> None:
        self.prefect = FakePrefect()
        self.git = Theatre(prefect=self.prefect)
        self.image = Theatre(IMAGE_APP, self.prefect)
        self.image.coolify.app |= {"build_pack": "dockerimage", "docker_registry_image_name": "r/w"}
        self.image.coolify.app["docker_registry_image_tag"] = "latest"
        self.journal: list[str] = []
        for theatre in self:
            self._name(theatre, OLD)
            theatre.served(OLD)
            self._name(theatre, NEW)
            theatre.coolify.journal = self.journal

    def __iter__(self) -> Any:
        return iter((self.git, self.image))

    def _name(self, theatre: Theatre, commit: str) -> None:
        """HUBLAB_COOLIFY_IMAGE."""
        theatre.wanted = replace(theatre.wanted, coolify=replace(ACCESS, image=("r/w", RELEASES[commit])))
        theatre.mover.wanted = theatre.wanted

    def members(self, planner: Callable[[WorkerHost, ApplicationState], ApplicationPlan] = make) -> list[Any]:
        """Both, locked, with what is planned for them."""
        found = []
        for theatre in self:
            theatre.mover.ledger.take("token", OWNER)
            host: Any = SimpleNamespace(print_prefix="", name=theatre.wanted.address)
            plan = planner(theatre.wanted, theatre.look())
            found.append(ApplicationMember(host, theatre.wanted, theatre.mover, lambda *_, plan=plan: plan))
            found[-1].state = theatre.look()
        return found

    def roll(self) -> dict[str, Outcome]:
        """A deploy."""
        return conduct(self.members(), "ada@desk")

    @property
    def serves(self) -> list[str]:
        return [theatre.look().release for theatre in self]


def deployments(pair: Pair) -> int:
    return pair.journal.count(DEPLOY)


def test_one_after_the_other_each_by_what_names_its_release() -> None:
    pair = Pair()
    outcomes = pair.roll()
    assert [(name, outcome.ok) for name, outcome in outcomes.items()] == [(GIT, True), (IMAGE, True)]
    assert pair.serves == [RELEASES[NEW]] * 2
    assert pair.journal == [f"PATCH /applications/{APP}", DEPLOY, f"PATCH /applications/{IMAGE_APP}", DEPLOY]
    assert (pair.git.coolify.app["git_commit_sha"], pair.image.coolify.app["git_commit_sha"]) == (NEW, "HEAD")
    assert pair.image.coolify.app["docker_registry_image_tag"] == RELEASES[NEW]


def test_bad_release_of_the_second_takes_back_the_first() -> None:
    pair = Pair()
    pair.image.coolify.ends = ["failed"]
    outcomes = pair.roll()
    assert outcomes[GIT].reason == f"the rollout failed at {IMAGE}; rolled back"
    assert "is failed; what served before serves on; rolled back" in outcomes[IMAGE].reason
    assert pair.serves == [RELEASES[OLD]] * 2
    assert pair.git.coolify.app["git_commit_sha"] == OLD
    assert pair.image.coolify.app["docker_registry_image_tag"] == RELEASES[OLD]
    assert deployments(pair) == 3, "there, failed, and back"


def test_bad_release_of_the_first_leaves_the_second_alone() -> None:
    pair = Pair()
    pair.git.coolify.ends = ["failed"]
    outcomes = pair.roll()
    assert outcomes[IMAGE].reason == f"not started: the rollout stopped at {GIT}"
    assert pair.serves == [RELEASES[OLD]] * 2
    assert not any(IMAGE_APP in line for line in pair.journal)


def test_both_go_back_as_one() -> None:
    pair = Pair()
    pair.roll()
    members = pair.members(back)
    rollout = Rollout("rollback")
    rollout.members = {member.address: member for member in members}
    rollout.demand_unity()
    assert all(outcome.ok for outcome in conduct(members, "ada@desk", what="rollback").values())
    assert pair.serves == [RELEASES[OLD]] * 2
    assert pair.git.coolify.app["git_commit_sha"] == OLD
    assert pair.image.coolify.app["docker_registry_image_tag"] == RELEASES[OLD]


@pytest.mark.parametrize("refusal", [401, 403], ids=["token revoked", "API off"])
def test_coolify_that_takes_nothing_any_more_while_the_second_is_deployed_leaves_both_to_the_next_deploy(
    refusal: int,
) -> None:
    pair = Pair()

    def refuse(found: dict[str, Any]) -> None:
        for theatre in pair:
            theatre.coolify.tokens, theatre.coolify.api_is_on = {}, refusal != 403
        advance(found)

    advance, tokens = pair.image.coolify.advance, dict(pair.image.coolify.tokens)
    pair.image.coolify.advance = refuse  # type: ignore[method-assign]
    outcomes = pair.roll()
    assert all("NOT all of it could be rolled back" in outcome.reason for outcome in outcomes.values())
    assert pair.git.look().problem

    pair.image.coolify.advance = advance  # type: ignore[method-assign]
    for theatre in pair:
        theatre.coolify.tokens, theatre.coolify.api_is_on = tokens, True
    assert all(outcome.ok for outcome in pair.roll().values())
    assert pair.serves == [RELEASES[NEW]] * 2
    assert deployments(pair) == 2, "neither is deployed once more"
    assert [theatre.mover.ledger.before() for theatre in pair] == [None, None]


def test_busy_coolify_is_waited_for_at_each_step_of_each() -> None:
    """200 questions a minute are taken of one user, and two applications are of one."""
    pair = Pair()
    for theatre in pair:
        busy = httpx.Response(429, headers={"Retry-After": "30"}, json={"message": "Too Many Attempts."})
        here = f"/applications/{theatre.wanted.application}"
        for ask in (f"PATCH {here}", DEPLOY, "GET /deployments/dep2", f"GET /deployments{here}"):
            theatre.coolify.fails[ask] = [busy]
    assert all(outcome.ok for outcome in pair.roll().values())
    assert pair.serves == [RELEASES[NEW]] * 2
    assert [left for theatre in pair for left in theatre.coolify.fails.values() if left] == []
