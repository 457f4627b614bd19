"""The automations that find lost runs: what they say, and that they are set once."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from typing import Any, cast

from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture

from deploy import lost_runs
from deploy.plan import make
from flows.operator.register import RUN_AGAIN
from tests.deploy.factories import converged, wanted
from worker.process_worker import SUBMITTING

LOST = "hublab: mark lost runs"


def triggers() -> dict[str, EventTrigger]:
    """As Prefect's own schema reads them; a key that it does not know is an error."""
    names = ("silent", "unheard", "inside", "again", "stuck", "enough")
    found = [AutomationCore.model_validate(item).trigger for item in lost_runs.wanted("mine")]
    return dict(zip(names, cast("list[EventTrigger]", found), strict=True))


def test_prefect_reads_them_as_they_are_meant() -> None:
    found = triggers()
    seconds = {name: trigger.within.total_seconds() for name, trigger in found.items()}
    assert seconds == {"silent": 90, "unheard": 390, "inside": 86400, "again": 0, "stuck": 300, "enough": 24 * 3600}
    waiting = {name for name, trigger in found.items() if trigger.posture == Posture.Proactive}
    assert waiting == {"silent", "unheard", "inside", "stuck"}
    assert found["silent"].after == {"prefect.flow-run.heartbeat"}
    assert found["unheard"].after == {f"prefect.flow-run.{SUBMITTING}"}
    assert found["inside"].after == {"prefect.flow-run.Running"}
    # A run that a worker has claimed was seen to be called Submitting.
    assert {"prefect.flow-run.Pending", "prefect.flow-run.Submitting"} <= found["stuck"].after
    assert all(trigger.for_each == {"prefect.resource.id"} for trigger in found.values())


def test_only_tagged_runs_are_run_again_and_the_campaigns_are_tagged() -> None:
    found = triggers()
    assert found["again"].model_dump()["match_related"]["prefect.resource.id"] == f"prefect.tag.{RUN_AGAIN}"
    assert found["again"].expect == {"prefect.flow-run.Lost", "prefect.flow-run.Crashed"}


def test_no_two_act_on_one_event() -> None:
    reacting = {name: found for name, found in triggers().items() if found.posture == Posture.Reactive}
    for one, other in combinations(reacting.values(), 2):
        assert not one.expect & other.expect
    starting = {name: found.after for name, found in triggers().items() if found.posture == Posture.Proactive}
    # Where a claim leads nowhere both wait for a sign of life; what `stuck` does is one, and comes first.
    assert starting["unheard"] & starting["stuck"] == {f"prefect.flow-run.{SUBMITTING}"}
    assert triggers()["stuck"].within < triggers()["unheard"].within
    assert "prefect.flow-run.RunAgain" in triggers()["unheard"].expect
    starting["stuck"] -= starting["unheard"]
    for one_after, other_after in combinations(starting.values(), 2):
        assert not one_after & other_after


def test_a_run_that_began_still_has_to_be_heard_of() -> None:
    expected = triggers()["unheard"].expect
    assert "prefect.flow-run.heartbeat" in expected
    on_the_way = {"Running", "Retrying", *lost_runs.CLAIMED}
    assert not {f"prefect.flow-run.{name}" for name in on_the_way} & expected


def test_each_step_leads_to_the_next_and_the_last_to_none() -> None:
    to = [item["actions"][0]["name"] for item in lost_runs.wanted("mine")]
    assert to == ["Lost", "Lost", "Lost", "RunAgain", "RunAgain", "GaveUp"]
    assert triggers()["enough"].expect == {"prefect.flow-run.RunAgain"}
    reacting = [found for found in triggers().values() if found.posture == Posture.Reactive]
    assert not any("prefect.flow-run.GaveUp" in trigger.expect for trigger in reacting)


def found(**changes: str) -> dict[str, str]:
    return {item["name"]: item["description"] for item in lost_runs.wanted("default")} | changes


def test_what_is_there_is_not_set_again() -> None:
    assert lost_runs.to_set("default", found()) == ()
    assert not make(wanted(), converged(wanted())).changes


def test_missing_or_edited_one_is_set_and_no_worker_is_touched() -> None:
    state: Any = replace(converged(wanted()), automations=found(**{LOST: "edited by somebody"}))
    plan = make(wanted(), state)
    assert plan.words == (f"automation '{LOST}' will be set at the Prefect server",)
    assert plan.activates
    assert plan.restarts == ()
    assert len(make(wanted(), replace(state, automations={})).automations) == 6


def test_server_that_does_not_show_them_is_left_alone() -> None:
    assert make(wanted(), replace(converged(wanted()), automations=None)).automations == ()


def test_each_pool_has_its_own_way_out_of_pending() -> None:
    first, second = ({item["name"]: item for item in lost_runs.wanted(pool)} for pool in ("a", "b"))
    assert {name for name in first if name not in second} == {"hublab: free stuck runs of a"}
    assert all(first[name] == second[name] for name in first.keys() & second.keys())
