"""A run that the flows start is what Prefect makes of one that a deployment is asked for; against a real server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from flows.services.prefect_api import NotRegisteredError, Prefect

if TYPE_CHECKING:
    from tests.flows.world import World

HANDLER, WATCH = (f"{name}/{name}" for name in ("christmas-signup-handler", "campaign-watch"))
OWN = {"id", "name", "created", "updated", "idempotency_key", "state", "state_id", "expected_start_time"}
OWN |= {"next_scheduled_start_time", "estimated_start_time_delta", "created_by", "estimated_run_time"}
# What a run keeps of its deployment's version is shown, and looked at by nobody.
OWN |= {"deployment_version"}


def read(prefect: Prefect, identity: Any) -> dict[str, Any]:
    found: dict[str, Any] = prefect.client.request("GET", f"/flow_runs/{identity}").json()
    return found | {"tags": sorted(found["tags"])}


@pytest.mark.parametrize(("deployment", "parameters"), [(HANDLER, {"payload": {}}), (WATCH, {"summary_due": True})])
def test_it_has_all_that_one_has_which_the_deployment_is_asked_for(
    world: World, deployment: str, parameters: dict[str, Any]
) -> None:
    with Prefect() as prefect:
        ours = prefect.start_once(deployment, parameters, world.payload("signup")["email"], tags=("one",))
        theirs = prefect.client.create_flow_run_from_deployment(
            prefect.deployment(deployment), parameters=parameters, tags=["one"]
        )
        one, other = read(prefect, ours.id), read(prefect, theirs.id)
    assert one["work_pool_name"]
    assert one["work_queue_name"] == "campaign-handlers"
    assert {name: one[name] for name in one.keys() - OWN} == {name: other[name] for name in other.keys() - OWN}
    assert one["state"]["type"] == other["state"]["type"] == "SCHEDULED"


def test_of_two_under_one_key_there_is_one_and_it_stays_as_it_was(world: World) -> None:
    key = world.payload("signup")["email"]
    with Prefect() as prefect:
        first = prefect.start_once(HANDLER, {"payload": {"at": 1}}, key)
        again = prefect.start_once(HANDLER, {"payload": {"at": 2}}, key, name="another")
        assert again.id == first.id
        assert read(prefect, first.id)["parameters"]["payload"] == {"at": 1}


def test_a_word_of_prefects_in_what_somebody_sent_is_text(world: World) -> None:
    """Asked of a deployment, the server puts any variable's value in its place."""
    payload = {"first_name": {"__prefect_kind": "workspace_variable", "variable_name": "private"}}
    with Prefect() as prefect:
        prefect.remember("private", {"value": "a secret"})
        made = prefect.start_once(HANDLER, {"payload": payload}, world.payload("signup")["email"])
        assert read(prefect, made.id)["parameters"]["payload"] == payload


def test_a_deployment_that_is_not_there_is_named(world: World) -> None:
    assert world
    with Prefect() as prefect, pytest.raises(NotRegisteredError, match="nobody/nobody"):
        prefect.start_once("nobody/nobody", {}, "key")
