"""A run that its host lost is found by Prefect's own automations, and only runs of this project."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from flows import recovery
from flows.prefect_api import Prefect
from flows.register import register

if TYPE_CHECKING:
    from tests.flows.world import World

NAMES = ("hublab: a run that fell silent", "hublab: a run that never began", "hublab: a crashed run is run again")


def test_register_brings_them_to_what_is_wanted_and_makes_none_twice(world: World) -> None:
    for silent in (60, 90):
        register("default", silent=silent)
    with Prefect() as prefect:
        found = [prefect.client.read_automations_by_name(name) for name in NAMES]
    assert [len(one) for one in found] == [1, 1, 1]
    (silent_one,), (stuck_one,), _ = found
    assert silent_one.model_dump()["trigger"]["within"] == timedelta(seconds=90)
    assert stuck_one.model_dump()["trigger"]["within"] == timedelta(seconds=300)
    assert all(one.enabled for (one,) in found)


def changed_at() -> dict[str, str]:
    with Prefect() as prefect:
        found = prefect.client.request("POST", "/automations/filter", json={}).json()
    return {one["name"]: one["updated"] for one in found}


def test_one_that_is_as_wanted_is_left_alone_for_a_change_forgets_whom_it_waits_for(world: World) -> None:
    register("default")
    before = changed_at()
    register("default")
    assert changed_at() == before
    register("default", stuck=301)
    assert [name for name in NAMES if changed_at()[name] != before[name]] == [NAMES[1]]
    register("default")


def test_they_are_about_our_runs_alone_and_whatever_is_heard_of_a_run_ends_the_wait() -> None:
    found = [automation.model_dump(mode="json") for automation in recovery.automations()]
    for automation in found:
        assert automation["trigger"]["match_related"] == {"prefect.resource.id": "prefect.tag.hublab"}
        assert automation["trigger"]["for_each"] == ["prefect.resource.id"]
    assert [automation["trigger"]["expect"] for automation in found] == [
        ["prefect.flow-run.*"],
        ["prefect.flow-run.*"],
        ["prefect.flow-run.Crashed"],
    ]
    # A run that a worker has claimed was seen to be called Submitting; a name that is missed is a run that is lost.
    assert "prefect.flow-run.Submitting" in found[1]["trigger"]["after"]
    states = [action["state"] for automation in found for action in automation["actions"]]
    assert states == ["CRASHED", "CRASHED", "SCHEDULED"]


def test_every_run_of_ours_carries_the_tag(world: World) -> None:
    run = world.enrol("noshow", world.payload("noshow"))
    assert {"hublab", "run-again"} <= set(run.tags)
