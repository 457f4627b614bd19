"""The automations that find lost runs: what they say, and that they are set once."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture

from deploy import lost_runs
from deploy.plan import make
from tests.deploy.factories import converged, wanted


def trigger(number: int) -> EventTrigger:
    """As Prefect's own schema reads it; a key that it does not know is an error."""
    return cast("EventTrigger", AutomationCore.model_validate(lost_runs.wanted("mine")[number]).trigger)


def test_prefect_reads_them_as_they_are_meant() -> None:
    silent, again, stuck = (trigger(number) for number in range(3))
    assert (silent.posture, silent.within.total_seconds()) == (Posture.Proactive, 90)
    assert silent.after == {"prefect.flow-run.heartbeat"}
    assert again.posture == Posture.Reactive
    assert again.expect == {"prefect.flow-run.Lost"}
    assert (stuck.posture, stuck.within.total_seconds()) == (Posture.Proactive, 600)


def test_plain_crashes_are_not_run_again() -> None:
    states = [item["actions"][0]["name"] for item in lost_runs.wanted("mine")]
    assert states == ["Lost", "Scheduled", "Scheduled"]
    assert "prefect.flow-run.Crashed" not in trigger(1).expect


def found(**changes: str) -> dict[str, str]:
    return {item["name"]: item["description"] for item in lost_runs.wanted("default")} | changes


def test_what_is_there_is_not_set_again() -> None:
    assert lost_runs.to_set("default", found()) == ()
    assert not make(wanted(), converged(wanted())).changes


def test_missing_or_edited_one_is_set_and_no_worker_is_touched() -> None:
    state: Any = replace(converged(wanted()), automations=found(**{"hublab: mark lost runs": "edited by somebody"}))
    plan = make(wanted(), state)
    assert plan.words == ("automation 'hublab: mark lost runs' will be set at the Prefect server",)
    assert plan.activates
    assert plan.restarts == ()
    assert len(make(wanted(), replace(state, automations={})).automations) == 3


def test_server_that_does_not_show_them_is_left_alone() -> None:
    assert make(wanted(), replace(converged(wanted()), automations=None)).automations == ()


def test_each_pool_has_its_own_way_out_of_pending() -> None:
    first, second = lost_runs.wanted("a"), lost_runs.wanted("b")
    assert first[:2] == second[:2]
    assert first[2]["name"] != second[2]["name"]
