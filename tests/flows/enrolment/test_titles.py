"""Every page that the flows make in Notion has a title by which a person finds it in a list; in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from flows.campaigns import plan as plans
from flows.campaigns.model import sequence as find_sequence
from flows.enrolment import records
from flows.recipients.contact import STATUS
from flows.sending import analytics
from flows.services import notion_schema as schema
from flows.services.notion_mapping import NotionMapping
from flows.webhooks import events
from sandbox.campaign.contacts import PAYLOADS
from tests.flows import in_the_campaign
from tests.flows.in_the_campaign import EMAIL

if TYPE_CHECKING:
    from tests.flows.in_the_campaign import Campaign

campaign = in_the_campaign.campaign  # the fixture


def titles(campaign: Campaign, block: str) -> list[str]:
    source = campaign.all.sources[block]
    (title,) = (name for name, kind in source.kinds().items() if kind == "title")
    pages = [page for page in campaign.all.notion.pages.values() if page["source"] == source.id]
    return ["".join(one["plain_text"] for one in page["values"].get(title) or []) for page in pages]


@pytest.mark.parametrize(("sequence", "what"), [("signup", "Christmas 2025"), ("noshow", "No-Show Recovery")])
def test_a_record_and_a_contact_are_named_by_who_it_is_about(campaign: Campaign, sequence: str, what: str) -> None:
    who = "{first_name}, {business_name}".format(**PAYLOADS[sequence])
    campaign.enrols(sequence)
    assert titles(campaign, schema.SEQUENCE) == [f"{who}: {what}"]
    assert titles(campaign, schema.CONTACTS) == [who]


def test_who_is_known_by_an_event_alone_and_a_mail_that_failed_are_named_too(campaign: Campaign) -> None:
    notion = campaign.all.gateway()
    events.mark(notion, "bea@salon.net", "Bounced")
    assert titles(campaign, schema.CONTACTS) == ["bea@salon.net"]
    sequence: Any = find_sequence("christmas", "signup")
    plan = campaign.enrols()
    mail = next(one for one in plans.of(sequence, plan) if one.number == 2)
    analytics.failed(notion, sequence, mail, EMAIL, ValueError("a fault"))
    assert titles(campaign, schema.ANALYTICS) == [f"christmas_email_2 to {EMAIL}"]


def test_a_persons_own_title_stays(campaign: Campaign) -> None:
    campaign.contact(EMAIL, Name="The Countess", **{STATUS: "New"})
    campaign.enrols()
    assert titles(campaign, schema.CONTACTS) == ["The Countess"]


def test_who_has_given_no_name_is_named_by_the_address() -> None:
    assert records.who({"email": EMAIL, "first_name": "", "business_name": None}) == EMAIL
    assert records.who({"email": EMAIL, "business_name": "Haus"}) == "Haus"


@pytest.mark.parametrize("named", ["The refit", ""])
def test_a_project_is_named_by_its_business_where_nobody_has_named_it(campaign: Campaign, named: str) -> None:
    business = PAYLOADS["onboarding"]["business_name"]
    campaign.enrols("onboarding", "bea@salon.net")
    assert titles(campaign, schema.PROJECTS) == [business]
    written = NotionMapping().written(schema.PROJECTS, {"Name": named, "Email": EMAIL})
    campaign.all.notion.create_page(campaign.all.sources[schema.PROJECTS], written)
    campaign.enrols("onboarding")
    assert titles(campaign, schema.PROJECTS) == [business, named or business]
