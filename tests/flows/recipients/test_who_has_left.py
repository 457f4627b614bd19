"""Whoever has left, in whatever form Notion, Resend or an address says so; in memory."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from flows.campaigns.model import sequence as find_sequence
from flows.enrolment import records
from flows.operator import notion_fit
from flows.operator.cutover import read
from flows.operator.cutover.facts import Contact
from flows.recipients import contact, control
from flows.recipients.contact import ContactState, UnreadableRecordError
from flows.recipients.mailbox import mailbox
from flows.services import notion_schema as schema
from flows.services.notion_mapping import NotionMapping
from flows.webhooks import events

STATUS, BOOKING = contact.STATUS, contact.BOOKING
EDITED = datetime(2026, 12, 1, 9, 30, tzinfo=UTC)


class Notion:
    """The gateway, as far as a contact is read and written by it; `pages` are those of the address."""

    def __init__(self, *pages: dict[str, Any]) -> None:
        self.pages, self.written = pages, list[dict[str, Any]]()

    def page(self, _block: str, identity: str) -> dict[str, Any]:
        return next(one for one in self.pages if one["id"] == identity)

    def equals(self, *_: Any, **__: Any) -> list[dict[str, Any]]:
        return list(self.pages)

    def find(self, *_: Any) -> list[dict[str, Any]]:
        return list(self.pages)

    def update(self, _block: str, identity: str, values: dict[str, Any]) -> dict[str, Any]:
        self.written.append(values)
        return {"id": identity}


def option(name: str | None, kind: str = "select") -> dict[str, Any]:
    return {"type": kind, kind: None if name is None else {"name": name}}


def person(status: dict[str, Any], booking: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    return {"id": "contact", "properties": {STATUS: status, BOOKING: booking or option(None)} | more}


def record(status: dict[str, Any], booking: dict[str, Any] | None = None, *, linked: int = 1) -> dict[str, Any]:
    rollups = {"Contact Status": status, "Contact Booking": booking or option(None)}
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


# Every other kind that a property of Notion's can have, filled in and empty: what a status was retyped to says nothing.
DAY, SOMEBODY = {"start": "2025-12-01", "end": None, "time_zone": None}, {"object": "user", "id": "x"}
RETYPED: dict[str, tuple[Any, Any]] = {
    "number": (1, None),
    "checkbox": (True, False),
    "url": ("https://unsubscribed.example", None),
    "email": ("unsubscribed@salon.net", None),
    "phone_number": ("+1 555 0100", None),
    "created_time": ("2025-12-01T00:00:00.000Z", "2025-12-01T00:00:00.000Z"),
    "last_edited_time": ("2025-12-01T00:00:00.000Z", "2025-12-01T00:00:00.000Z"),
    "created_by": (SOMEBODY, SOMEBODY),
    "last_edited_by": (SOMEBODY, SOMEBODY),
    "people": ([SOMEBODY], []),
    "files": ([{"name": "Unsubscribed.pdf"}], []),
    "relation": ([{"id": "x"}], []),
    "rollup": ({"type": "array", "array": [option("Unsubscribed")]}, {"type": "array", "array": []}),
    "formula": ({"type": "string", "string": "Unsubscribed"}, {"type": "string", "string": None}),
    "unique_id": ({"prefix": "U", "number": 1}, {"prefix": "U", "number": 1}),
    "verification": ({"state": "verified"}, None),
    "place": ({"lat": 43.7, "lon": -79.4}, None),
    "button": ({}, {}),
}
WRONG = [{"type": kind, kind: value} for kind, both in RETYPED.items() for value in both]
DATES: list[dict[str, Any]] = [{"type": "date", "date": DAY}, {"type": "date", "date": None}]


def named(found: dict[str, Any]) -> str:
    return f"{found['type']} {found[found['type']]}"


@pytest.mark.parametrize("found", WRONG + DATES, ids=named)
def test_a_status_of_another_kind_is_no_permission_whatever_it_shows(found: dict[str, Any]) -> None:
    page = person(found)
    with pytest.raises(UnreadableRecordError, match=f"'{STATUS}' is a {found['type']}, which shows no option"):
        contact.of([page])
    with pytest.raises(UnreadableRecordError, match=STATUS):
        contact.state(cast("Any", Notion(page)), record(found), "ada@salon.net")
    with pytest.raises(UnreadableRecordError, match=STATUS):
        contact.has_left(page)


@pytest.mark.parametrize("found", WRONG, ids=named)
def test_a_booking_of_another_kind_is_no_permission_whatever_it_shows(found: dict[str, Any]) -> None:
    page = person(option("Signed Up"), found)
    with pytest.raises(UnreadableRecordError, match=f"'{BOOKING}' is a {found['type']}, which shows no option"):
        contact.of([page])
    with pytest.raises(UnreadableRecordError, match=BOOKING):
        contact.state(cast("Any", Notion(page)), record(option("Signed Up"), found), "ada@salon.net")
    assert not contact.has_left(page)


@pytest.mark.parametrize(("found", "bookings"), [(DATES[0], ("Booked",)), (DATES[1], ())], ids=["filled", "empty"])
def test_a_booking_that_is_a_date_is_made_where_there_is_one(found: dict[str, Any], bookings: tuple[str, ...]) -> None:
    notion = cast("Any", Notion(page := person(option("Signed Up"), found)))
    assert contact.of([page]).bookings == bookings
    assert contact.state(notion, record(option("Signed Up"), found), "ada@salon.net").bookings == bookings


CALL = "Diagnostic Call Date"


@pytest.mark.parametrize(
    ("booking", "call", "bookings"),
    [
        (option(None), DATES[0], ("Booked",)),
        (option(None), DATES[1], ()),
        (option(None), {"type": "rich_text", "rich_text": [{"plain_text": "next Monday"}]}, ("Booked",)),
        (option(None), {"type": "rich_text", "rich_text": []}, ()),
        (option("Cancelled"), DATES[0], ("Cancelled",)),
        (option("Not Booked"), DATES[0], ("Not Booked",)),
        (option("No-Show"), DATES[0], ("No-Show",)),
        (option("Booked"), DATES[1], ("Booked",)),
        (DATES[1], DATES[0], ("Booked",)),
    ],
)
def test_the_date_of_a_call_is_a_booking_where_the_status_says_none(
    booking: dict[str, Any], call: dict[str, Any], bookings: tuple[str, ...]
) -> None:
    assert contact.of([person(option("Signed Up"), booking, **{CALL: call})]).bookings == bookings


def test_of_two_contacts_each_tells_of_its_own_call() -> None:
    cancelled = person(option("Signed Up"), option("Cancelled"), **{CALL: DATES[0]})
    coming = person(option("Signed Up"), **{CALL: DATES[0]})
    assert contact.of([cancelled, coming]).bookings == ("Cancelled", "Booked")


@pytest.mark.parametrize("found", WRONG, ids=named)
def test_a_call_date_of_another_kind_is_no_permission(found: dict[str, Any]) -> None:
    with pytest.raises(UnreadableRecordError, match=f"'{CALL}' is a {found['type']}, which shows no date"):
        contact.of([person(option("Signed Up"), **{CALL: found})])


ADDRESS = {"Email": {"type": "email", "email": "Ada@Salon.net"}}


def test_a_cut_over_goes_by_the_same_rules() -> None:
    page = person(option("Signed Up"), **{CALL: DATES[0]} | ADDRESS) | {"last_edited_time": f"{EDITED:%Y-%m-%dT%H:%MZ}"}
    assert read._contacts(cast("Any", Notion(page)), ["ada@salon.net"]) == {
        "ada@salon.net": (Contact("contact", "Signed Up", "Booked", EDITED),)
    }
    with pytest.raises(UnreadableRecordError, match=STATUS):
        read._contacts(cast("Any", Notion(person(DATES[0], **ADDRESS))), ["ada@salon.net"])


LIVE = {name: {"type": kind} for name, kind in schema.LIVE[schema.CONTACTS].items()}


@pytest.mark.parametrize(
    ("there", "said"),
    [
        ({}, ""),
        ({CALL: {"type": "date"}}, ""),
        ({CALL: {"type": "checkbox"}}, f"property '{CALL}' is checkbox, not date"),
        ({"diagnostic call date": {"type": "date"}}, "nearly fits 'diagnostic call date'"),
    ],
)
def test_preflight_and_setup_ask_for_no_call_date_and_name_one_that_could_not_be_read(there: Any, said: str) -> None:
    fits = notion_fit.compared(schema.CONTACTS, LIVE | there, NotionMapping(), {})
    (fit,) = [one for one in fits if one.name == CALL]
    assert said in fit.problem
    assert bool(fit.problem) is bool(said)
    assert not fit.adds


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
        ("ada@straße.example", "ada@XN--STRAE-OQA.example", True),
        ("ada@straße.example", "ada@strasse.example", False),
        ("ada@νους.example", "ada@xn--yxaejl.example", True),
        ("ada@bucher.example", "ada@bücher.example", False),
    ],
)
def test_siblings_of_an_address_reach_one_mailbox(one: str, other: str, same: bool) -> None:
    assert (mailbox(one) == mailbox(other)) is same
