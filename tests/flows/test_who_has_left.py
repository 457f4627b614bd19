"""Whoever has left, in whatever form Notion, Resend or an address says so; in memory."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import pytest

from flows.campaigns.model import sequence as find_sequence
from flows.enrolment import records
from flows.recipients import contact, control
from flows.recipients.contact import ContactState, UnreadableRecordError
from flows.recipients.mailbox import mailbox
from flows.webhooks import events

STATUS, BOOKING = contact.STATUS, contact.BOOKING


class Notion:
    """The gateway, as far as a contact is read and written by it; `pages` are those of the address."""

    def __init__(self, *pages: dict[str, Any]) -> None:
        self.pages, self.written = pages, list[dict[str, Any]]()

    def page(self, _block: str, identity: str) -> dict[str, Any]:
        return next(one for one in self.pages if one["id"] == identity)

    def equals(self, *_: Any, **__: Any) -> list[dict[str, Any]]:
        return list(self.pages)

    def update(self, _block: str, identity: str, values: dict[str, Any]) -> dict[str, Any]:
        self.written.append(values)
        return {"id": identity}


def option(name: str | None, kind: str = "select") -> dict[str, Any]:
    return {"type": kind, kind: None if name is None else {"name": name}}


def person(status: dict[str, Any], booking: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"id": "contact", "properties": {STATUS: status, BOOKING: booking or option(None)}}


def record(status: dict[str, Any], *, linked: int = 1) -> dict[str, Any]:
    rollups = {"Contact Status": status, "Contact Booking": option(None)}
    shown = {name: {"type": "rollup", "rollup": {"type": "array", "array": [one]}} for name, one in rollups.items()}
    return {"properties": {"Contact": {"type": "relation", "relation": [{"id": "contact"}] * linked}} | shown}


def reason(found: ContactState) -> str | None:
    return control.why_not_contact(found, find_sequence("christmas", "signup"))


UNREADABLE: list[dict[str, Any]] = [
    {"type": "formula", "formula": {"type": "string", "string": "Unsubscribed"}},
    {"type": "people", "people": [{"id": "x"}]},
    {"type": "unsupported", "unsupported": {}},
]
LEFT: list[dict[str, Any]] = [
    option("Unsubscribed"),
    option("unsubscribed"),
    option("UNSUBSCRIBED "),
    option("Unsubscribed", "status"),
    {"type": "multi_select", "multi_select": [{"name": "VIP"}, {"name": "Unsubscribed"}]},
    {"type": "rich_text", "rich_text": [{"plain_text": "Unsub"}, {"plain_text": "scribed"}]},
]


@pytest.mark.parametrize("status", LEFT)
def test_a_status_by_which_somebody_has_left_is_one_however_it_is_written(status: dict[str, Any]) -> None:
    page = person(status)
    notion = cast("Any", Notion(page))
    assert "unsubscribed" in str(reason(contact.of([page])))
    assert "unsubscribed" in str(reason(contact.state(notion, record(status), "ada@salon.net")))
    sequence = find_sequence("christmas", "noshow")
    details = {"email": "ada@salon.net", "first_name": "Ada", "business_name": "Salon"}
    records.write_contact(notion, sequence, details, [page])
    assert STATUS not in notion.written[-1]  # and it stays


@pytest.mark.parametrize("status", UNREADABLE)
def test_a_status_that_nobody_can_read_is_an_error_and_no_permission(status: dict[str, Any]) -> None:
    page = person(status)
    with pytest.raises(UnreadableRecordError, match=STATUS):
        contact.of([page])
    with pytest.raises(UnreadableRecordError, match=STATUS):
        contact.state(cast("Any", Notion(page)), record(status), "ada@salon.net")


WHOLE = {"type": "array", "array": [option("Signed Up")], "function": "show_original"}
NOT_WHOLE: list[dict[str, Any]] = [
    {"type": "incomplete", "incomplete": {}, "function": "show_original"},
    {"type": "unsupported", "unsupported": {}, "function": "show_original"},
    {"type": "array", "array": [], "function": "show_original"},
    {"type": "array", "function": "show_original"},
    {"type": "number", "number": 1, "function": "count"},
]


@pytest.mark.parametrize("shown", NOT_WHOLE)
@pytest.mark.parametrize("name", ["Contact Status", "Contact Booking"])
def test_a_rollup_that_does_not_show_every_contact_is_no_permission_and_the_page_is_asked(
    name: str, shown: dict[str, Any]
) -> None:
    found = record(option("Signed Up"))
    for one in ("Contact Status", "Contact Booking"):
        found["properties"][one] = {"type": "rollup", "rollup": shown if one == name else WHOLE}
    notion = cast("Any", Notion(person(option("Unsubscribed"))))
    assert "unsubscribed" in str(reason(contact.state(notion, found, "ada@salon.net")))


def test_a_relation_that_is_not_shown_whole_is_no_permission() -> None:
    found = record(option("Signed Up"))
    found["properties"]["Contact"]["has_more"] = True
    notion = cast("Any", Notion(person(option("Unsubscribed"))))
    assert "unsubscribed" in str(reason(contact.state(notion, found, "ada@salon.net")))


@pytest.mark.parametrize("name", [STATUS, BOOKING])
def test_a_contact_without_the_property_is_an_error_that_names_it(name: str) -> None:
    page = person(option("Signed Up"))
    del page["properties"][name]
    with pytest.raises(UnreadableRecordError, match=f"'BusinessX contacts' has no property '{name}'"):
        contact.of([page])


@pytest.mark.parametrize("booking", ["Booked", "booked", " BOOKED", "Lead, Booked"])
def test_a_booking_is_one_however_it_is_written(booking: str) -> None:
    sequence = replace(find_sequence("christmas", "signup"), stop_on_booking=("Booked",))
    found = contact.of([person(option("Signed Up"), option(booking))])
    assert "a booking is made" in str(control.why_not_contact(found, sequence))
    assert control.why_not_contact(contact.of([person(option("Signed Up"), option("Unbooked"))]), sequence) is None


@pytest.mark.parametrize(
    ("tags", "bounce", "status"),
    [
        ({"campaign": "c", "sequence": "s", "step": "1"}, {"type": "Permanent"}, "Bounced"),
        ({"campaign": "c", "sequence": "s", "step": "1"}, {"type": "permanent"}, "Bounced"),
        ({"campaign": "c", "sequence": "s", "step": "1"}, {}, "Bounced"),
        ({"campaign": "c", "sequence": "s", "step": "1"}, None, "Bounced"),
        ({"campaign": "c", "sequence": "s", "step": "1"}, {"type": "transient"}, "Soft Bounced"),
        ([{"name": n, "value": "1"} for n in ("campaign", "sequence", "step")], {"type": "Permanent"}, "Bounced"),
    ],
)
def test_a_bounce_is_understood_in_every_form_in_which_resend_tells_of_it(tags: Any, bounce: Any, status: str) -> None:
    data = {"to": ["Ada@Salon.net"], "email_id": "x", "tags": tags, "bounce": bounce}
    found = events.understood({"type": "email.bounced", "created_at": "2025-12-01T00:00:00Z", "data": data})
    assert found is not None
    assert (found["status"], found["email"], found["step"]) == (status, "ada@salon.net", "1")


@pytest.mark.parametrize(
    "kind", ["email.sent", "email.scheduled", "email.received", "contact.updated", "domain.created"]
)
def test_what_says_nothing_of_a_mail_of_ours_is_none(kind: str) -> None:
    assert events.understood({"type": kind, "created_at": "2025-12-01T00:00:00Z", "data": {}}) is None


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("ada@bücher.example", "Ada@xn--bcher-kva.example", True),
        ("ada@BÜCHER.example", "ada@bücher.example", True),
        ("ada@gmail.com.", "a.da@gmail.com", True),
        ("ada@hotmail.com", "ada@outlook.com", False),
        ("ada@xn--.example", "ada@xn--.example", True),
        ("ada@bucher.example", "ada@bücher.example", False),
    ],
)
def test_siblings_of_an_address_reach_one_mailbox(one: str, other: str, same: bool) -> None:
    assert (mailbox(one) == mailbox(other)) is same
