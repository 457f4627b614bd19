"""Why a mail must not go out, by what Notion shows of the record and its contact alone: each reason by itself."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from flows.campaigns.model import sequences
from flows.campaigns.plan import Planned
from flows.recipients.contact import ContactState, UnreadableRecordError
from flows.recipients.control import stopped, why_not

GOOD = ContactState(("Active",), ("None",))


def page(**more: Any) -> dict[str, Any]:
    """The record of somebody whose first two mails of seven are sent."""
    sent = {f"Email {number} Sent": f"2025-12-0{number}" if number < 3 else None for number in range(1, 8)}
    properties: dict[str, Any] = {
        name: {"type": "date", "date": {"start": day} if day else None} for name, day in sent.items()
    }
    for name in ("Cancelled", "Sequence Completed"):
        properties[name] = {"type": "checkbox", "checkbox": bool(more.pop(name.replace(" ", "_"), False))}
    return {"properties": properties, "in_trash": False, "archived": False} | more


def reason(
    found: dict[str, Any], number: int = 3, contact: ContactState = GOOD, sequence: str = "signup"
) -> str | None:
    return why_not(found, contact, sequences()["christmas", sequence], number)


def test_nothing_stops_the_mails_that_are_not_sent_yet() -> None:
    assert [reason(page(), number) for number in range(3, 8)] == [None] * 5
    found = page()
    del found["in_trash"], found["archived"]  # as in answers of before
    assert reason(found) is None


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (page(in_trash=True), "cancelled: its record is in Notion's trash"),
        (page(archived=True), "cancelled: its record is in Notion's trash"),
        (page(Cancelled=True), "cancelled in Notion"),
        (page(Sequence_Completed=True), "sequence completed in Notion"),
    ],
)
def test_record_that_says_stop_is_the_reason(found: dict[str, Any], said: str) -> None:
    assert reason(found) == said


NOON = datetime(2025, 12, 1, 12, tzinfo=UTC)
BOTH = tuple(Planned(number, "t", NOON) for number in (1, 2))
ALL = (*BOTH, Planned(3, "t", NOON))


@pytest.mark.parametrize(
    ("found", "plan", "said"),
    [
        (page(), ALL, None),
        (page(Cancelled=True), ALL, "cancelled in Notion, on another record of the mailbox"),
        (page(Cancelled=True), BOTH, "cancelled in Notion, on another record of the mailbox"),
        (page(Sequence_Completed=True), ALL, "sequence completed in Notion, on another record of the mailbox"),
        # Its mails have all gone out: nobody stopped it.
        (page(Sequence_Completed=True), BOTH, None),
    ],
)
def test_another_record_of_a_mailbox_that_a_person_stopped_stops_this_one(
    found: dict[str, Any], plan: tuple[Planned, ...], said: str | None
) -> None:
    assert stopped(found, plan) == said


def test_mail_that_was_sent_is_said_to_be_and_goes_before_every_other_reason() -> None:
    assert reason(page(), 2) == "already sent on 2025-12-02"
    assert reason(page(Cancelled=True, in_trash=True), 1) == "already sent on 2025-12-01"


@pytest.mark.parametrize("name", ["Email 3 Sent", "Cancelled", "Sequence Completed"])
def test_property_that_is_gone_is_no_permission(name: str) -> None:
    found = page()
    del found["properties"][name]
    with pytest.raises(UnreadableRecordError) as caught:
        reason(found)
    assert str(caught.value) == (
        f"the database 'Email Sequence' has no property {name!r}: was it renamed? Say so in notion.toml; "
        "`./hublab campaign preflight` has the line"
    )


@pytest.mark.parametrize(("name", "kind"), [("Email 3 Sent", "date"), ("Cancelled", "checkbox")])
def test_property_of_another_kind_is_no_permission(name: str, kind: str) -> None:
    found = page()
    found["properties"][name] = {"type": "people", "people": []}
    with pytest.raises(
        UnreadableRecordError, match=rf"^the database 'Email Sequence': '{name}' is a people, which .*{kind}"
    ):
        reason(found)


@pytest.mark.parametrize(
    ("status", "marketing", "customers"),
    [
        ("Unsubscribed", "the contact is unsubscribed", None),
        ("Bounced", "the contact is bounced", "the contact is bounced"),
        ("Complained", "the contact is complained", "the contact is complained"),
        ("Suppressed", "the contact is suppressed", "the contact is suppressed"),
        ("Cancelled", "the contact is cancelled", "the contact is cancelled"),
        ("Active", None, None),
    ],
)
def test_status_of_any_page_of_the_contact_stops_what_it_ends(
    status: str, marketing: str | None, customers: str | None
) -> None:
    contact = ContactState(("Active", status), ())
    assert reason(page(), contact=contact) == marketing
    assert reason(page(), contact=contact, sequence="onboarding") == customers


@pytest.mark.parametrize(
    ("sequence", "booking", "said"),
    [
        ("signup", "Booked", "a booking is made: Booked"),
        ("noshow", "Rescheduled", "a booking is made: Rescheduled"),
        ("signup", "Rescheduled", None),
        ("postcall", "Booked", None),
        ("onboarding", "Booked", None),
    ],
)
def test_booking_of_any_page_of_the_contact_stops_the_sequences_that_name_it(
    sequence: str, booking: str, said: str | None
) -> None:
    assert reason(page(), contact=ContactState((), ("None", booking)), sequence=sequence) == said


def test_contact_that_is_not_there_gets_nothing_and_what_it_said_goes_before() -> None:
    assert reason(page(), contact=ContactState((), (), there=False)) == (
        "its contact is not in Notion any more, or in the trash"
    )
    gone = ContactState(("Bounced",), (), there=False)
    assert reason(page(), contact=gone) == "the contact is bounced"
