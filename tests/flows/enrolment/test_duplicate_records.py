"""Who is stopped on another record than the one that his mails go by gets none; in memory."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from flows.campaigns.model import sequence as find_sequence
from flows.enrolment import enrol
from flows.services import notion_schema as schema
from flows.services.notion_mapping import NotionMapping
from sandbox.campaign.contacts import PAYLOADS
from tests.flows import in_the_campaign
from tests.flows.in_memory import LAG
from tests.flows.in_the_campaign import EMAIL

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.flows.in_the_campaign import Read

campaign = in_the_campaign.campaign_read_ahead  # the fixture
SAME = "AdaLovelace+x@googlemail.com"  # the same mailbox
SIGNUP = find_sequence("christmas", "signup")


def record(campaign: Read, **more: Any) -> dict[str, Any]:
    return campaign.all.notion.create_page(campaign.all.sources[schema.SEQUENCE], written(**more))


def tick(campaign: Read, page: dict[str, Any], **more: Any) -> None:
    campaign.all.notion.update_page(page["id"], {"properties": written(**more)})


def written(**more: Any) -> dict[str, Any]:
    return NotionMapping().written(schema.SEQUENCE, {name.replace("_", " "): value for name, value in more.items()})


def copied(campaign: Read, enrolment: dict[str, Any], **more: Any) -> dict[str, Any]:
    """As Notion's own Duplicate makes it, and two handlers within its lag."""
    return record(campaign, Email=EMAIL, Campaign=SIGNUP.label, Enrolment_Key=enrolment["key"], **more)


DUPLICATES: dict[str, Callable[[Read, dict[str, Any]], dict[str, Any]]] = {
    "a copy": copied,
    "made by hand": lambda campaign, _: record(campaign, Email=EMAIL, Campaign=SIGNUP.label),
    "made by hand, with an address alone": lambda campaign, _: record(campaign, Email=SAME),
    "of another writing": lambda campaign, _: campaign.all.notion.page(campaign.enrols(email=SAME)["page"]),
}
STOPS = [{"Cancelled": True}, {"Sequence_Completed": True}]


@pytest.mark.parametrize("duplicate", DUPLICATES)
@pytest.mark.parametrize("stop", STOPS)
@pytest.mark.parametrize("reader", ["up", "down"])
def test_who_is_stopped_on_any_record_of_his_enrolment_gets_nothing_more(
    campaign: Read,
    duplicate: str,
    stop: dict[str, bool],
    reader: str,
) -> None:
    enrolment = campaign.enrols()
    assert campaign.send(enrolment, 1) == ""
    other = DUPLICATES[duplicate](campaign, enrolment)
    campaign.all.notion.lag = LAG
    due = campaign.all.clock.now() + timedelta(days=1)
    campaign.until(due - timedelta(seconds=121))
    tick(campaign, other, **stop)
    if reader == "up":
        campaign.until(due)
    campaign.all.clock.at = due
    assert "on another record of the mailbox" in campaign.send(enrolment, 2)


def test_a_copy_of_one_of_two_no_shows_stops_that_one(campaign: Read) -> None:
    enrolment = campaign.enrols("noshow")
    tick(campaign, copied(campaign, enrolment), Cancelled=True)
    campaign.all.clock.advance(180)
    assert "on another record" in campaign.send(enrolment, 1)
    payload = PAYLOADS["noshow"] | {"email": EMAIL, "calendly_event_uri": "https://calendly.com/second"}
    enrol.enrol("christmas", "noshow", payload, campaign.all.clock.now().isoformat())
    assert campaign.send(list(campaign.all.runs.values())[-1].parameters["enrolment"], 1) == ""


def test_who_was_cancelled_long_before_anybody_looked_is_seen_by_the_first_look(campaign: Read) -> None:
    enrolment = campaign.enrols()
    tick(campaign, copied(campaign, enrolment), Cancelled=True)
    campaign.all.clock.advance(86_400 * 3)
    assert "cancelled" in campaign.send(enrolment, 2)


@pytest.mark.parametrize("how", ["thrown away", "put right", "of another person"])
def test_a_duplicate_that_says_nothing_any_more_stops_nothing(campaign: Read, how: str) -> None:
    enrolment = campaign.enrols()
    other = record(campaign, Email=EMAIL, Campaign=SIGNUP.label, Cancelled=True)
    assert "cancelled" in campaign.send(enrolment, 2)
    if how == "thrown away":
        campaign.all.notion.update_page(other["id"], {"in_trash": True})
    else:
        tick(campaign, other, **({"Cancelled": False} if how == "put right" else {"Email": "bea@salon.net"}))
    assert campaign.send(enrolment, 2) == ""


@pytest.mark.parametrize("what", ["another sequence", "by hand for another", "an earlier round", "before he signed up"])
def test_what_was_stopped_is_that_enrolment_alone(campaign: Read, what: str) -> None:
    if what == "another sequence":
        tick(campaign, campaign.all.notion.page(campaign.enrols("noshow")["page"]), Cancelled=True)
    elif what == "by hand for another":
        record(campaign, Email=EMAIL, Campaign=SIGNUP.label, Template_Type="Onboarding", Cancelled=True)
    elif what == "an earlier round":
        record(campaign, Email=EMAIL, Campaign=SIGNUP.label, Enrolment_Key="christmas-signup-0123", Cancelled=True)
    else:
        record(campaign, Email=SAME, Campaign=SIGNUP.label, Cancelled=True)
        campaign.all.clock.advance(3600)
    enrolment = campaign.enrols()
    campaign.all.clock.advance(3600)
    assert campaign.send(enrolment, 2) == ""


def test_who_got_all_mails_under_another_writing_of_his_address_is_not_stopped_by_it(campaign: Read) -> None:
    enrolment, other = campaign.enrols(), campaign.enrols(email=SAME)
    for step in range(1, 8):
        assert campaign.send(other, step) == ""
    assert campaign.all.notion.page(other["page"])["values"]["Sequence Completed"] is True
    campaign.all.clock.advance(3600)
    assert campaign.send(enrolment, 2) == ""
