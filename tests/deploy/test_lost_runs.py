"""The automations that earlier deploys set are removed, and nobody else's."""

from __future__ import annotations

from dataclasses import replace

from deploy.plan import make
from tests.deploy.factories import converged, wanted

# As the deploys of before named them; the last one for each pool.
SET_BEFORE = (
    "hublab: mark lost runs",
    "hublab: mark lost runs that were never heard",
    "hublab: mark lost sub-flows that were never heard",
    "hublab: run lost runs again",
    "hublab: give up runs that are lost again and again",
    "hublab: free stuck runs of default",
)
OTHERS = ("hublab: tell me of crashes", "hublab: free stuck runs of another", "mark lost runs")


def test_each_that_is_there_is_removed_and_no_worker_is_touched() -> None:
    state = replace(converged(wanted()), automations=dict.fromkeys((*SET_BEFORE, *OTHERS), "edited by somebody"))
    plan = make(wanted(), state)
    assert sorted(plan.automations) == sorted(SET_BEFORE)
    assert len(plan.words) == len(SET_BEFORE)
    assert (
        "automation 'hublab: mark lost runs' will be removed from the Prefect server: the workers look at the runs "
        "themselves"
    ) in plan.words
    assert plan.activates
    assert plan.restarts == ()


def test_nothing_to_do_where_they_are_gone_or_cannot_be_seen() -> None:
    for found in ({}, dict.fromkeys(OTHERS, ""), None):
        plan = make(wanted(), replace(converged(wanted()), automations=found))
        assert plan.automations == ()
        assert not plan.changes
