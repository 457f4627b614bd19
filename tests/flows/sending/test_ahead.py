"""Mails that are due soon are looked up for all at once; what a person changes stops them all the same. In memory."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from flows.campaigns.model import sequence as find_sequence
from flows.enrolment import enrol
from flows.recipients import edits
from flows.recipients.contact import BOOKING, STATUS
from flows.sending import ahead, frozen
from flows.services import notion_schema as schema
from flows.services.errors import NotionError
from flows.services.prefect_api import Prefect
from flows.webhooks import reader
from sandbox.campaign.contacts import PAYLOADS
from tests.flows import in_the_campaign
from tests.flows.in_memory import LAG, Try
from tests.flows.in_the_campaign import EMAIL, Read

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prefect.client.schemas.objects import FlowRun

    from tests.flows.world import World

DELAYS = {step.number: step.delay for step in find_sequence("christmas", "signup").steps}


campaign = in_the_campaign.campaign_read_ahead  # the fixture


@pytest.mark.parametrize("archives", [True, False])
def test_a_signup_of_seven_costs_ten_calls_beside_what_is_read_for_everybody(campaign: Read, archives: bool) -> None:
    campaign.looks()
    started, mine = campaign.all.clock.now(), Try({})
    campaign.all.tries.append(mine)
    enrolment = campaign.enrols()
    campaign.all.tries.pop()
    calls = [one for one in mine.calls if one.startswith("notion")]
    for step, delay in DELAYS.items():
        campaign.until(started + delay)
        if archives:  # what says that the mails before this one went out
            assert frozen.archive(campaign.prefect, campaign.all.clock.now()) == (step > 1)
        calls += [one for one in campaign.calls(enrolment, step) if step != 1 or one != "notion query"]  # the template
        campaign.all.runs[f"{enrolment['key']}:{step}"].state.type = "COMPLETED"
    queries = calls.count("notion query") - 6  # of the templates: once within five minutes
    assert (len(calls) - 6, queries) == (10, 1), calls
    page = campaign.all.notion.page(enrolment["page"])
    assert all(page["values"][f"Email {step} Sent"] for step in DELAYS)
    assert page["values"]["Sequence Completed"] is True


CHANGES: dict[str, Any] = {
    "cancelled": {"Cancelled": {"checkbox": True}},
    "completed": {"Sequence Completed": {"checkbox": True}},
    "date entered": {"Email 2 Sent": {"date": {"start": "2026-01-06"}}},
    "thrown away": None,
    "unsubscribed": (STATUS, "Unsubscribed"),
    "booked": (BOOKING, "booked"),
    "contact thrown away": "trash",
}


@pytest.mark.parametrize("what", CHANGES)
@pytest.mark.parametrize("second", [0, 31, 59])
def test_what_a_person_changes_stops_a_mail_that_is_due_two_minutes_later(
    campaign: Read, what: str, second: int
) -> None:
    enrolment = campaign.enrols()
    assert campaign.send(enrolment, 1) == ""
    campaign.all.notion.lag = LAG
    due = campaign.all.clock.now() + DELAYS[2]
    campaign.until(due - timedelta(seconds=120 + second))
    contact = next(
        one for one in campaign.all.notion.pages.values() if one["source"] == campaign.all.sources[schema.CONTACTS].id
    )
    change = CHANGES[what]
    if change is None or change == "trash":
        page = contact["id"] if change else enrolment["page"]
        campaign.all.notion.update_page(page, {"in_trash": True})
        if change:  # as Notion does
            campaign.all.notion.update_page(enrolment["page"], {"properties": {"Contact": {"relation": []}}})
    elif isinstance(change, tuple):
        campaign.edit(contact, **{change[0]: change[1]})
    else:
        campaign.all.notion.update_page(enrolment["page"], {"properties": change})
    campaign.all.clock.advance(second)
    while campaign.all.clock.at < due:
        campaign.looks()
        campaign.all.clock.advance(60)
    assert campaign.send(enrolment, 2)


@pytest.mark.parametrize("what", [one for one in CHANGES if one != "contact thrown away"])
def test_where_nobody_looks_any_more_each_change_stops_a_mail_at_once(campaign: Read, what: str) -> None:
    enrolment = campaign.enrols()
    campaign.looks()
    campaign.all.clock.advance(edits.FRESH.total_seconds() + 1)
    change = CHANGES[what]
    if isinstance(change, tuple):
        contact = next(
            one
            for one in campaign.all.notion.pages.values()
            if one["source"] == campaign.all.sources[schema.CONTACTS].id
        )
        campaign.edit(contact, **{change[0]: change[1]})
    else:
        body = {"in_trash": True} if change is None else {"properties": change}
        campaign.all.notion.update_page(enrolment["page"], body)
    assert campaign.send(enrolment, 2)


def test_a_record_that_was_there_before_is_read_however_new_the_enrolment_is(campaign: Read) -> None:
    """Prefect has forgotten the runs, and somebody has cancelled him; then he signs up again."""
    enrolment = campaign.enrols()
    campaign.all.notion.update_page(enrolment["page"], {"properties": {"Cancelled": {"checkbox": True}}})
    campaign.all.runs.clear()
    campaign.looks()
    again = campaign.enrols()
    assert again["page"] == enrolment["page"]
    assert "cancelled" in campaign.send(again, 1)


@pytest.mark.parametrize("ahead_by", [60, 3600])
def test_a_list_of_a_clock_that_is_ahead_is_no_list(campaign: Read, ahead_by: float) -> None:
    enrolment = campaign.enrols()
    campaign.all.clock.advance(ahead_by)
    campaign.looks()
    campaign.all.clock.advance(-ahead_by)
    campaign.all.notion.update_page(enrolment["page"], {"properties": {"Cancelled": {"checkbox": True}}})
    assert "cancelled" in campaign.send(enrolment, 1)


def test_a_mail_that_comes_before_it_and_has_not_gone_out_is_waited_for(campaign: Read) -> None:
    enrolment = campaign.enrols()
    campaign.until(campaign.all.clock.now() + DELAYS[2])
    assert "comes before it" in campaign.send(enrolment, 2)


def test_a_mail_on_the_heels_of_another_waits(campaign: Read) -> None:
    enrolment = campaign.enrols()
    campaign.until(campaign.all.clock.now() + DELAYS[2])
    assert campaign.send(enrolment, 1) == ""
    campaign.looks()
    assert "only just now" in campaign.send(enrolment, 2)


@pytest.mark.parametrize("reader", [True, False])
def test_who_signed_up_days_ago_in_an_outage_gets_the_mails_in_their_order_and_not_at_once(
    campaign: Read, reader: bool
) -> None:
    """The record is new, and three mails are due: they go as after any outage."""
    if reader:
        campaign.looks()
    received = campaign.all.clock.now() - timedelta(hours=73)
    enrol.enrol("christmas", "signup", PAYLOADS["signup"] | {"email": EMAIL}, received.isoformat())
    enrolment = next(iter(campaign.all.runs.values())).parameters["enrolment"]
    assert "comes before it" in campaign.send(enrolment, 3)
    assert "comes before it" in campaign.send(enrolment, 2)
    assert campaign.send(enrolment, 1) == ""
    assert "only just now" in campaign.send(enrolment, 2)
    assert "only just now" in campaign.send(enrolment, 3)
    assert len(campaign.all.resend.mails) == 1


def test_a_look_costs_two_calls(campaign: Read) -> None:
    campaign.enrols()
    for _ in range(2):  # the first looks at everything
        mine = Try({})
        campaign.all.tries.append(mine)
        campaign.looks()
        campaign.all.tries.pop()
        assert [one for one in mine.calls if one.startswith("notion")] == ["notion query"] * 2


def test_more_mails_than_one_query_asks_for(campaign: Read) -> None:
    people = [campaign.enrols(email=f"{number}@salon.net") for number in range(120)]
    campaign.all.clock.advance(300)
    mine = Try({})
    campaign.all.tries.append(mine)
    campaign.looks()
    campaign.all.tries.pop()
    assert mine.calls.count("notion query") == 2 + 2  # contacts are 120 as well
    assert len(campaign.all.kept[ahead.LIST]["mails"]) == 120
    assert campaign.calls(people[119], 1)[-1:] == ["notion write page"]
    assert "notion read page" not in campaign.calls(people[0], 1)


@pytest.mark.parametrize(
    "broken", ["no such step", "no step", "no such sequence", "a renamed property", "another's", "odd"]
)
def test_a_mail_that_cannot_be_judged_is_not_on_the_list_and_the_others_are(campaign: Read, broken: str) -> None:
    campaign.enrols(email="bea@salon.net")
    enrolment = campaign.enrols()
    run = campaign.all.runs[f"{enrolment['key']}:1"]
    if broken == "no such step":
        run.parameters["step"] = 99
    elif broken == "no step":
        del run.parameters["step"]
    elif broken == "no such sequence":
        run.parameters["enrolment"] = enrolment | {"sequence": "gone"}
    elif broken in {"another's", "odd"}:
        run.parameters = {"email": EMAIL, "email_number": 1} | ({"enrolment": {"key": 1}} if broken == "odd" else {})
    else:
        there = campaign.all.sources[schema.SEQUENCE].schema
        there["Mail 1 Sent"] = there.pop("Email 1 Sent")
    campaign.looks()
    assert len(campaign.all.kept[ahead.LIST]["mails"]) == (0 if broken == "a renamed property" else 1)


@pytest.fixture
def overdue(world: World) -> Iterator[list[FlowRun]]:
    """The mails of somebody whose are due for longer than anybody's here."""
    payload = world.payload("signup")
    assert world.run(world.enrol("signup", payload, "2020-01-06T12:00:00+00:00")).is_completed()
    runs = world.mails(payload["email"])
    with Prefect() as prefect:
        prefect.forget(ahead.LIST)
        yield runs
        prefect.forget(ahead.LIST)
        for run in runs:
            prefect.client.delete_flow_run(run.id)


def test_the_reader_finds_what_is_due_at_prefect_and_looks_once_for_all_hosts(
    overdue: list[FlowRun], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = datetime.now(UTC)
    with Prefect() as prefect:
        found = [one["parameters"] for one in ahead.due(prefect, now)]
        assert found[:7] == [run.parameters for run in overdue]
        assert reader.once(now)
        kept = prefect.variable(ahead.LIST)
        enrolment = overdue[0].parameters["enrolment"] | {"made": None}
        assert ahead.cleared(kept, enrolment, 7, now)
        assert not ahead.cleared(kept, enrolment, 7, now + timedelta(minutes=2))
        assert not reader.once(now + timedelta(seconds=30))
        monkeypatch.setattr(ahead, "look", lambda *_: (_ for _ in ()).throw(NotionError("away")))
        with pytest.raises(NotionError):
            reader.once(now + timedelta(seconds=60))
        assert prefect.variable(ahead.LIST) == kept
