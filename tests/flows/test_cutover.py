"""The production of before is taken over at a real Prefect server: the plan first, which changes nothing."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from flows.operator.cutover.__main__ import main
from flows.operator.register import register
from flows.services.prefect_api import Prefect
from tests.flows.past import SEND, SIGNUP, Past

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.flows.world import World


@pytest.fixture
def past(world: World) -> Iterator[Past]:
    """The five deployments of before, and a worker of ours in the pool; ours again at the end."""
    with httpx.Client(base_url=os.environ["PREFECT_API_URL"], timeout=60) as client:
        found = Past(world, client)
        found.forget()
        client.post("/work_pools/default/queues", json={"name": "probe-hublab-1"})
        client.post("/work_pools/default/workers/heartbeat", json={"name": "hublab-1"}).raise_for_status()
        yield found
        found.forget()
        client.delete("/work_pools/default/workers/hublab-1")
    register("default")


def snapshot(past: Past) -> str:
    """Everything that a plan must leave alone, in one text."""
    store = past.world.services.notion.store
    deployments = [past.api.get(f"/deployments/{one}").json() for one in past.ids.values()]
    variables = past.api.post("/variables/filter", json={"limit": 200}).json()
    artifacts = past.api.post("/artifacts/count", json={}).json()
    runs = [{key: run[key] for key in ("id", "state_id", "parameters", "tags")} for run in past.runs()]
    return json.dumps([deployments, variables, artifacts, runs, store.pages], default=str, sort_keys=True)


def planned(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    status = main(["--json", *arguments])
    out = json.loads(capsys.readouterr().out)
    assert status == (1 if out["blockers"] else 0)
    return out


def test_the_plan_says_who_is_where_and_changes_nothing(past: Past, capsys: pytest.CaptureFixture[str]) -> None:
    ada, bo = past.person(3), past.person(1, Booking_Status="Booked")
    past.run(past.world.address(), 2, past.world.services.notion.store.clock.now())
    there = snapshot(past)
    found = planned(capsys)
    assert snapshot(past) == there
    assert found["blockers"] == []
    assert set(found["deployments"]) == set(past.ids)
    assert "pull_steps" in found["deployments"][SEND]
    people = {one["email"]: one for one in found["people"]}
    assert [one["is"] for one in people[ada]["mails"]] == ["out"] * 3 + ["comes"] * 4
    assert people[ada]["mails"][0]["why"].startswith("Notion ")
    assert ", Resend " in people[ada]["mails"][0]["why"]
    assert people[ada]["doubts"] == []
    assert "Booked" in " ".join(people[bo]["doubts"])
    assert [one["rule"].partition(":")[0] for one in people.values()].count("left out") == 1
    assert main([]) == 0
    words = capsys.readouterr().out
    assert f"{ada}  christmas/signup" in words
    assert "answers without a credential" in words
    assert main(["--person", ada.upper()]) == 0
    one = capsys.readouterr().out
    assert "4 christmas_email_4: comes, due" in one
    assert "would write on the record: Enrolment Key = christmas-signup-" in one
    assert bo not in one


def test_the_plan_names_what_is_in_the_way(past: Past, capsys: pytest.CaptureFixture[str]) -> None:
    past.api.post("/work_pools/default/workers/heartbeat", json={"name": "laptop"}).raise_for_status()
    past.api.delete("/work_pools/default/workers/hublab-1")
    try:
        found = planned(capsys)
    finally:
        past.api.delete("/work_pools/default/workers/laptop")
    said = " | ".join(found["blockers"])
    assert "worker laptop polls the pool default" in said
    assert "HUBLAB_WORK_POOL" in said
    assert "no worker of this project is online" in said


def test_the_plan_works_before_anything_is_registered_and_refuses_without_resends_list(
    past: Past, capsys: pytest.CaptureFixture[str]
) -> None:
    past.person(2)
    with Prefect() as prefect:
        for limit in ("notion", "resend"):
            prefect.client.delete_global_concurrency_limit_by_name(limit)
    assert len(planned(capsys)["people"]) == 1
    past.world.resend_fault("refuse", status=401, code="restricted_api_key", times=None)
    assert main([]) == 1
    assert "no plan can be made" in capsys.readouterr().err


def test_signups_that_wait_are_in_the_plan(past: Past, capsys: pytest.CaptureFixture[str]) -> None:
    from sandbox.past import campaign as before  # noqa: PLC0415

    email = past.world.address()
    before.website_signup(past.api, past.ids[SIGNUP], past.fields(email))
    (one,) = planned(capsys)["signups"]
    assert (one["email"], one["enrolled"], one["doubt"]) == (email, False, "")
