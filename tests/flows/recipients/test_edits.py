"""What a person changes by hand on another contact of the same mailbox stops the mails; in memory."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from flows.enrolment import enrol
from flows.recipients import edits
from flows.recipients.contact import BOOKING, CALL, STATUS, UnreadableRecordError
from flows.services import notion_schema as schema
from flows.services.errors import NotionError
from flows.services.notion_gateway import NotionGateway
from sandbox.campaign.contacts import PAYLOADS
from tests.flows import in_the_campaign
from tests.flows.in_memory import LAG, START, Try
from tests.flows.in_the_campaign import EMAIL, SAME, Campaign

campaign = in_the_campaign.campaign  # the fixture
# As it comes out of a mail program, or of a page in the web.
PASTED = [f"Ada Lovelace <{EMAIL}>", f"{EMAIL}\u200b", f"\ufeff{EMAIL}", EMAIL.replace("@", "\u00ad@")]


@pytest.mark.parametrize("email", [*SAME, *PASTED])
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({BOOKING: "Booked"}, "a booking is made: Booked"),
        ({BOOKING: " confirmed"}, "a booking is made: confirmed"),
        ({STATUS: "Unsubscribed"}, "suppressed: unsubscribed"),
        ({STATUS: "BOUNCED"}, "suppressed: bounced"),
        ({STATUS: "cancelled"}, "suppressed: cancelled"),
    ],
)
def test_what_any_contact_of_the_mailbox_says_stops_the_mails(
    campaign: Campaign, email: str, change: dict[str, str], reason: str
) -> None:
    enrolment = campaign.enrols()
    other = campaign.contact(email)
    assert campaign.send(enrolment, 1) == ""
    campaign.all.clock.advance(120)
    campaign.edit(other, **change)
    campaign.all.clock.advance(120)
    assert reason in campaign.send(enrolment, 2)


def test_of_two_looks_at_once_the_one_that_read_first_takes_nothing_back(campaign: Campaign) -> None:
    """As where many mails are due and nobody reads ahead: each looks, and waits for Notion's limit in between."""
    enrolment = campaign.enrols()
    other = campaign.contact(SAME[3])
    campaign.look()
    campaign.all.clock.advance(60)
    mine = Try({("notion query", "after"): [lambda: campaign.all.clock.advance(60)]})

    def booked_and_seen() -> None:
        saved, campaign.all.tries = campaign.all.tries, []
        campaign.edit(other, **{BOOKING: "Booked"})
        campaign.look()
        campaign.all.tries = saved

    mine.plan["notion query", "after"].append(booked_and_seen)
    campaign.all.tries.append(mine)
    campaign.look()
    assert not campaign.all.tries.pop().plan
    assert other["id"] in campaign.all.kept[edits.booked_name(EMAIL)]
    campaign.all.kept[edits.SEEN]["looked"] = campaign.all.clock.now().isoformat()  # the other's, which came last
    assert "a booking is made" in campaign.send(enrolment, 1)


@pytest.mark.parametrize("status", ["Unsubscribed", "bounced", "CANCELLED "])
@pytest.mark.parametrize("last", [True, False])
def test_of_two_contacts_of_an_address_either_keeps_it_from_being_enrolled(
    campaign: Campaign, status: str, last: bool
) -> None:
    pages = [campaign.contact(EMAIL, **{STATUS: "Signed Up"}), campaign.contact(EMAIL, **{STATUS: "Signed Up"})]
    campaign.all.notion.update_page(pages[last]["id"], {"properties": {STATUS: {"select": {"name": status}}}})
    payload = PAYLOADS["noshow"] | {"email": EMAIL}
    state = enrol.enrol("christmas", "noshow", payload, campaign.all.clock.now().isoformat())
    assert state.name == "Skipped"
    assert campaign.all.runs == {}
    shown = {campaign.all.notion.page(page["id"])["values"][STATUS]["name"] for page in pages}
    assert shown == {"Signed Up", status}  # and nothing is overwritten


@pytest.mark.parametrize("second", [0, 1, 29, 30, 31, 59])
@pytest.mark.parametrize("change", [{BOOKING: "Booked"}, {STATUS: "Unsubscribed"}])
def test_an_edit_is_known_two_minutes_later_whoever_looked_in_between(
    campaign: Campaign, second: int, change: dict[str, str]
) -> None:
    """Queries lag by half a minute, and Notion's times of edits are rounded down to the minute."""
    enrolment, others = campaign.enrols(), campaign.enrols(email="bea@salon.net")
    other = campaign.contact(EMAIL)
    campaign.all.notion.lag = LAG
    campaign.all.clock.at = START + timedelta(minutes=10, seconds=second)
    campaign.edit(other, **change)
    for step in range(1, 7):
        assert campaign.send(others, step) == ""
        campaign.all.clock.advance(20)
    assert campaign.send(enrolment, 2)


def test_an_edit_in_the_minute_of_the_last_one_that_was_seen_is_seen(campaign: Campaign) -> None:
    enrolment, other, last = campaign.enrols(), campaign.contact(EMAIL), campaign.contact("bea@salon.net")
    campaign.edit(last, First_Name="Bea")
    campaign.look()
    campaign.edit(other, **{BOOKING: "Booked"})
    campaign.all.clock.advance(3600)
    assert "booking" in campaign.send(enrolment)


def test_an_edit_that_a_query_does_not_show_yet_while_a_newer_one_is_shown_is_seen_by_the_next_look(
    campaign: Campaign, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some writes are shown half a second later, and some half a minute."""
    enrolment, other, last = campaign.enrols(), campaign.contact(EMAIL), campaign.contact("bea@salon.net")
    campaign.edit(other, **{BOOKING: "Booked"})
    campaign.all.clock.advance(120)
    campaign.edit(last, First_Name="Bea")
    some = NotionGateway.some

    def old(*asked: Any) -> tuple[list[dict[str, Any]], bool]:
        pages, more = some(*asked)
        return [one for one in pages if one["id"] != other["id"]], more

    with monkeypatch.context() as lagging:
        lagging.setattr(NotionGateway, "some", old)
        campaign.look()
    assert edits.booked_name(EMAIL) not in campaign.all.kept
    campaign.all.clock.advance(90)
    assert "booking" in campaign.send(enrolment)


@pytest.mark.parametrize("which", [0, 120, 249])
def test_more_edits_than_one_answer_holds(campaign: Campaign, which: int) -> None:
    enrolment = campaign.enrols()
    pages = [campaign.contact(EMAIL if number == which else f"{number}@salon.net") for number in range(250)]
    for page in pages:
        campaign.edit(page, **{BOOKING: "Booked"})
    assert "booking" in campaign.send(enrolment)
    assert len([name for name in campaign.all.kept if name.startswith("booked-")]) == 250


def test_no_look_no_mail_and_the_next_look_makes_up_for_it(campaign: Campaign, monkeypatch: pytest.MonkeyPatch) -> None:
    enrolment, other = campaign.enrols(), campaign.contact(EMAIL)
    campaign.look()
    campaign.all.clock.advance(3600)
    campaign.edit(other, **{BOOKING: "Booked"})
    campaign.all.clock.advance(3600)
    some = NotionGateway.some

    def refused(self: NotionGateway, block: str, *asked: Any) -> tuple[list[dict[str, Any]], bool]:
        if block == schema.CONTACTS:
            raise NotionError("query BusinessX contacts: 400")
        return some(self, block, *asked)

    with monkeypatch.context() as broken:
        broken.setattr(NotionGateway, "some", refused)
        with pytest.raises(NotionError):
            campaign.send(enrolment)
    assert campaign.all.resend.mails == []
    assert "booking" in campaign.send(enrolment)


@pytest.mark.parametrize("ahead", [-3600, 3600])
def test_a_look_by_a_clock_that_is_wrong_is_no_look_and_hides_no_edit(campaign: Campaign, ahead: float) -> None:
    enrolment, other = campaign.enrols(), campaign.contact(EMAIL)
    campaign.all.clock.advance(600)
    campaign.look(now=campaign.all.clock.now() + timedelta(seconds=ahead))
    campaign.all.clock.advance(600)
    campaign.edit(other, **{BOOKING: "Booked"})
    assert "booking" in campaign.send(enrolment)


@pytest.mark.parametrize("how", ["put right", "thrown away", "another's"])
def test_a_booking_that_is_put_right_stops_nothing_any_more(campaign: Campaign, how: str) -> None:
    enrolment, other = campaign.enrols(), campaign.contact(EMAIL)
    campaign.edit(other, **{BOOKING: "Booked"})
    assert "booking" in campaign.send(enrolment)
    if how == "put right":
        campaign.edit(other, **{BOOKING: "Cancelled"})
    elif how == "thrown away":
        campaign.all.notion.update_page(other["id"], {"in_trash": True})
    else:
        campaign.edit(other, Email="bea@salon.net")
    assert campaign.send(enrolment) == ""  # by the page itself, however short ago contacts were looked at


def test_a_booking_that_is_taken_back_is_forgotten(campaign: Campaign) -> None:
    other = campaign.contact(EMAIL, **{BOOKING: "Booked"})
    campaign.look()
    assert edits.booked_name(EMAIL) in campaign.all.kept
    campaign.all.notion.update_page(other["id"], {"properties": {BOOKING: {"select": None}}})
    campaign.look()
    assert edits.booked_name(EMAIL) not in campaign.all.kept


OWN, OTHER = EMAIL, "adalovelace@gmail.com"


@pytest.mark.parametrize("email", [OWN, OTHER])
def test_the_date_of_a_call_stops_the_mails_of_who_has_no_booking_status(campaign: Campaign, email: str) -> None:
    """No rollup shows it: it is known by the edit, on the record's own contact as on any other."""
    campaign.retype("date", CALL)
    enrolment = campaign.enrols()
    contacts = campaign.all.sources[schema.CONTACTS].id
    (own,) = [one for one in campaign.all.notion.pages.values() if one["source"] == contacts]
    page = own if email == OWN else campaign.contact(email)
    assert campaign.send(enrolment, 1) == ""
    campaign.all.clock.advance(120)
    campaign.edit(page, **{CALL: "2026-01-09T15:00:00Z"})
    campaign.all.clock.advance(120)
    assert "a booking is made: Booked" in campaign.send(enrolment, 2)
    campaign.edit(page, **{BOOKING: "Cancelled"})  # and the date is still there
    assert campaign.send(enrolment, 2) == ""


def test_who_has_the_date_of_a_call_is_not_enrolled(campaign: Campaign) -> None:
    campaign.retype("date", CALL)
    campaign.contact(EMAIL, **{CALL: "2026-01-09T15:00:00Z"})
    payload, at = PAYLOADS["signup"] | {"email": EMAIL}, campaign.all.clock.now().isoformat()
    state = enrol.enrol("christmas", "signup", payload, at)
    assert (state.name, campaign.all.runs) == ("Skipped", {})
    assert "a booking is made: Booked" in str(state.message)
    assert campaign.send(campaign.enrols("noshow"), 1) == ""  # which tells of a newer booking


def test_a_call_that_stood_there_before_call_dates_were_read_is_seen_by_the_next_whole_look(campaign: Campaign) -> None:
    campaign.retype("date", CALL)
    enrolment = campaign.enrols()
    campaign.contact(OTHER, **{CALL: "2026-01-09T15:00:00Z"})
    campaign.all.clock.advance(86_400 * 3)
    at = campaign.all.clock.now().isoformat()
    campaign.all.kept[edits.SEEN] = {"at": at, "looked": at, "records": True, "whole": True}  # by the release before
    campaign.look(whole=True)
    assert "a booking is made: Booked" in campaign.send(enrolment)


KINDS = ("date", "url", "number", "checkbox", "created_time", "people", "formula")
RETYPED = [(name, kind) for name in (STATUS, BOOKING, CALL, "Email") for kind in KINDS]


@pytest.mark.parametrize(("name", "kind"), [one for one in RETYPED if one not in {(CALL, "date"), (BOOKING, "date")}])
def test_a_property_of_contacts_that_is_retyped_lets_no_mail_out_and_is_named(
    campaign: Campaign, name: str, kind: str
) -> None:
    enrolment, other = campaign.enrols(), campaign.contact("bea@salon.net")
    campaign.retype(kind, name)
    campaign.edit(other)
    with pytest.raises(UnreadableRecordError, match=f"{name}.*is a {kind}, which shows no"):
        campaign.send(enrolment)
    assert campaign.all.resend.mails == []


@pytest.mark.parametrize(
    ("name", "kind"), [("Cancelled", "date"), ("Sequence Completed", "url"), ("Email 2 Sent", "people")]
)
def test_a_property_of_records_that_is_retyped_lets_no_mail_out_and_is_named(
    campaign: Campaign, name: str, kind: str
) -> None:
    enrolment = campaign.enrols()
    campaign.look()
    campaign.retype(kind, name, schema.SEQUENCE)
    with pytest.raises(UnreadableRecordError, match=f"'Email Sequence': '{name}' is a {kind}, which shows no"):
        campaign.send(enrolment)
    assert campaign.all.resend.mails == []


@pytest.mark.parametrize("email", [OWN, OTHER])
def test_a_booking_that_is_a_date_stops_the_mails_where_there_is_one(campaign: Campaign, email: str) -> None:
    enrolment = campaign.enrols()
    page = campaign.contact(email)
    campaign.retype("date", BOOKING)
    assert campaign.send(enrolment, 1) == ""
    campaign.all.clock.advance(120)
    campaign.put(page, BOOKING, {"start": "2026-01-09"})
    campaign.all.clock.advance(120)
    assert "a booking is made: Booked" in campaign.send(enrolment, 2)


@pytest.mark.parametrize(("sequence", "stops"), [("signup", True), ("postcall", False), ("onboarding", False)])
def test_a_booking_ends_the_sequences_that_say_so(campaign: Campaign, sequence: str, stops: bool) -> None:
    enrolment = campaign.enrols(sequence)
    campaign.contact(EMAIL, **{BOOKING: "Booked"})
    assert bool(campaign.send(enrolment)) is stops


@pytest.mark.parametrize(("when", "stops"), [("before", False), ("after", True)])
def test_a_no_show_is_newer_than_the_booking_of_another_contact(campaign: Campaign, when: str, stops: bool) -> None:
    other = campaign.contact("adalovelace@gmail.com", **{BOOKING: "Booked"})
    campaign.all.clock.advance(86_400)
    enrolment = campaign.enrols("noshow")
    if when == "after":
        campaign.all.clock.advance(1)
        campaign.edit(other, **{BOOKING: "Booked"})
    campaign.all.clock.advance(86_400)
    campaign.look(whole=True)
    assert bool(campaign.send(enrolment, 1)) is stops


def test_contacts_that_nobody_has_edited_for_long_are_looked_at_once(campaign: Campaign) -> None:
    campaign.contact(SAME[2], **{BOOKING: "Booked"})
    bea = campaign.contact("bea@salon.net", **{STATUS: "Unsubscribed"})
    for number in range(100):
        campaign.contact(f"{number}@salon.net")
    campaign.all.clock.advance(86_400 * 30)
    assert campaign.look() == 1
    assert "booking" in campaign.send(campaign.enrols())
    campaign.edit(bea, First_Name="Bea")
    campaign.look(whole=True)
    mine = Try({})
    campaign.all.tries.append(mine)
    assert campaign.look(whole=True) == 0
    assert mine.calls.count("notion query") == 2  # contacts and records
    assert not [one for one in mine.calls if one.startswith("claim")]  # nothing is kept again and again


def test_the_mails_of_a_minute_share_one_look(campaign: Campaign) -> None:
    people = [campaign.enrols(email=f"{number}@salon.net") for number in range(5)]
    mine = Try({})
    campaign.all.tries.append(mine)
    for enrolment in people:
        assert campaign.send(enrolment, 1) == ""
    assert mine.calls.count("notion query") == 2 + 1  # contacts, records, and the template


def test_however_many_contacts_a_mailbox_has_what_is_kept_has_room(campaign: Campaign) -> None:
    enrolment = campaign.enrols()
    for number in range(100):
        campaign.contact(f"ada.lovelace+{number}@gmail.com", **{BOOKING: "Booked"})
    assert "booking" in campaign.send(enrolment)
    assert len(json.dumps(campaign.all.kept[edits.booked_name(EMAIL)])) < 5_000
