"""Bookings as Calendly and Cal.com tell of them: they stop sequences, and who does not come is enrolled, every time."""

from __future__ import annotations

import itertools
import json
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from starlette.testclient import TestClient

from flows.campaigns.model import sequence as find_sequence
from flows.recipients import suppression
from flows.services import notion_schema as schema
from flows.services.prefect_api import Prefect
from flows.services.settings import Settings
from flows.webhooks import bookings, forwarding
from flows.webhooks.app import build
from flows.webhooks.forwarding import Forwarder
from flows.webhooks.spool import Spool
from tests.flows.webhooks.test_callers import GIVEN, JSON, calcom, calendly

if TYPE_CHECKING:
    from pathlib import Path

    from tests.flows.world import World

URI = "https://api.calendly.com/scheduled_events/"


def invitee(event: str, email: str, minute: int = 0, booking: str = "1", **more: Any) -> dict[str, Any]:
    """One of Calendly's own bodies."""
    told = {
        "email": email,
        "name": "Ada King",
        "first_name": None,
        "uri": f"{URI}{booking}/invitees/9",
        "rescheduled": False,
        "questions_and_answers": [{"question": "Your business?", "answer": "Salon", "position": 0}],
        "reschedule_url": "https://calendly.com/reschedulings/9",
        "scheduled_event": {"uri": f"{URI}{booking}", "name": "Call", "start_time": "2025-12-01T10:00:00.000000Z"},
    }
    at = f"2025-11-20T10:{minute:02}:00.000000Z"
    return {"event": event, "created_at": at, "created_by": "https://api.calendly.com/users/1", "payload": told | more}


def booking(kind: str, email: str, minute: int = 0, uid: str = "u1", **more: Any) -> dict[str, Any]:
    """One of Cal.com's."""
    attendee = {"email": email, "name": "Ada King", "timeZone": "America/Toronto", "language": {"locale": "en"}}
    told = {"uid": uid, "title": "Call", "startTime": "2025-12-01T10:00:00Z", "attendees": [attendee]}
    return {"triggerEvent": kind, "createdAt": f"2025-11-20T10:{minute:02}:00.000Z", "payload": told | more}


def absent(email: str, minute: int = 9, uid: str = "u1", *, came: bool = False) -> dict[str, Any]:
    told = {"message": "x", "bookingUid": uid, "bookingId": 7, "attendees": [{"email": email, "noShow": not came}]}
    return {"triggerEvent": "BOOKING_NO_SHOW_UPDATED", "createdAt": f"2025-11-20T10:{minute:02}:00Z", "payload": told}


class Desk:
    """The webhook app whose spool a test forwards when it wants."""

    def __init__(self, folder: Path) -> None:
        self._client = TestClient(build(Settings(GIVEN), folder))
        self._forwarder = Forwarder(Spool(folder / "bookings"))
        self.folder = folder

    def post(self, body: dict[str, Any], path: str | None = None) -> int:
        ours = "triggerEvent" in body
        content = json.dumps(body).encode()
        path = path or ("calcom-booking" if ours else "calendly")
        headers = JSON | (calcom(content) if ours else calendly(content))
        status: int = self._client.post(f"/webhook/{path}", content=content, headers=headers).status_code
        return status

    def told(self, *bodies: dict[str, Any], path: str | None = None) -> None:
        """Take these, and bring each where it belongs before the next."""
        for body in bodies:
            assert self.post(body, path) == 202
            self._forwarder.spool = Spool(self.folder / "bookings")
            self._forwarder.once()
        assert self._forwarder.spool.waiting == 0


@pytest.fixture
def desk(world: World, tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def shown(world: World, email: str) -> tuple[Any, Any]:
    (page,) = world.rows(schema.CONTACTS, email)
    return schema.read(page, "Booking Status"), schema.read(page, "Christmas Campaign Status")


def noshow_runs(email: str, *uris: str) -> int:
    found = find_sequence("christmas", "noshow")
    keys = [found.key_of({"email": email, "calendly_event_uri": uri}) for uri in uris]
    with Prefect() as prefect:
        return sum(prefect.run_of(key) is not None for key in keys)


@pytest.mark.parametrize("made", [invitee, booking])
def test_a_booking_stops_the_sequence_and_its_cancellation_lets_it_go_on(world: World, desk: Desk, made: Any) -> None:
    kinds = ("invitee.created", "invitee.canceled") if made is invitee else ("BOOKING_CREATED", "BOOKING_CANCELLED")
    enrolment = world.quickly("signup")
    email = enrolment["email"]
    desk.told(made(kinds[0], email.upper()))
    assert shown(world, email) == ("Booked", "Pre-Call Prep")
    assert world.send(enrolment, 2).name == "Skipped"
    desk.told(made(kinds[1], email, 1))
    assert shown(world, email)[0] == "Cancelled"
    assert world.send(enrolment, 3).name == "Completed"


def test_a_contact_is_made_where_there_is_none(world: World, desk: Desk) -> None:
    email = world.address()
    desk.told(booking("BOOKING_CREATED", email))
    assert shown(world, email) == ("Booked", "Pre-Call Prep")
    other = world.address()
    desk.told(booking("BOOKING_CANCELLED", other))
    assert world.rows(schema.CONTACTS, other) == []


def test_a_strangers_booking_holds_up_nobody_elses(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Anybody may book: whom no query shows yet is waited for, and who is in the campaign is shown meanwhile."""
    world.setenv("HUBLAB_NOTION_LAG_SECONDS", "35")
    later = [0.0]
    monkeypatch.setattr(forwarding, "time", SimpleNamespace(monotonic=lambda: later[0], time=time.time))
    enrolment, stranger = world.quickly("signup"), world.address()
    forwarder = Forwarder(Spool(tmp_path))
    for email in (stranger, enrolment["email"]):
        (told,) = bookings.understood("calendly", invitee("invitee.created", email))
        forwarder.spool.put(email, {"kind": "booking", "booking": told})
    assert forwarder.once() == 1
    assert shown(world, enrolment["email"])[0] == "Booked"
    assert (forwarder.once(), forwarder.spool.waiting, world.rows(schema.CONTACTS, stranger)) == (0, 1, [])
    later[0] = 35
    assert (forwarder.once(), forwarder.spool.waiting) == (1, 0)
    assert shown(world, stranger)[0] == "Booked"


@pytest.mark.parametrize("second", ["canceled", "created"])
def test_what_a_stranger_does_next_waits_for_the_contact_that_was_just_made(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, second: str
) -> None:
    """Both wait from the start; the page that the first makes is shown later, and must not be missed, or doubled."""
    world.setenv("HUBLAB_NOTION_LAG_SECONDS", "35")
    later, store = [0.0], world.services.notion.store
    monkeypatch.setattr(forwarding, "time", SimpleNamespace(monotonic=lambda: later[0], time=time.time))
    forwarder, stranger = Forwarder(Spool(tmp_path)), world.address()
    for number, (event, uid) in enumerate((("created", "1"), (second, "1" if second == "canceled" else "2"))):
        (told,) = bookings.understood("calendly", invitee(f"invitee.{event}", stranger, number, uid))
        forwarder.spool.put(f"{stranger}{number}", {"kind": "booking", "booking": told})
    assert forwarder.once() == 0
    later[0], store.lag = 35, 3600  # no query shows what is written from now on
    assert (forwarder.once(), forwarder.spool.waiting) == (1, 1)
    later[0], store.lag = 70, 0
    assert (forwarder.once(), forwarder.spool.waiting) == (1, 0)
    assert shown(world, stranger)[0] == ("Cancelled" if second == "canceled" else "Booked")


def test_events_in_any_order_leave_what_is_true(world: World, desk: Desk) -> None:
    moved = [
        invitee("invitee.created", "", 1, "old"),
        invitee("invitee.canceled", "", 2, "old"),
        invitee("invitee.created", "", 3, "new"),
    ]
    for order in itertools.permutations(moved):
        email = world.address()
        desk.told(*[one | {"payload": one["payload"] | {"email": email}} for one in order])
        assert shown(world, email)[0] == "Booked", [one["event"] for one in order]
    email = world.address()
    desk.told(
        invitee("invitee.created", email, 3, "new"), invitee("invitee.canceled", email, 5, "old", rescheduled=True)
    )
    desk.told(invitee("invitee.canceled", email, 9, "old"))
    assert shown(world, email)[0] == "Booked"


@pytest.mark.parametrize("made", [invitee, booking])
@pytest.mark.parametrize("hour", [12, 8])
def test_who_has_missed_a_call_and_booked_another_since_is_no_no_show(
    world: World, desk: Desk, made: Any, hour: int
) -> None:
    """Marked by the host an hour later; where the other call is over as well, it is one."""
    enrolment = world.quickly("signup")
    email, when = enrolment["email"], f"2025-11-20T{hour:02}:00:00Z"
    if made is invitee:
        first, uri = invitee("invitee.created", email), f"{URI}1"
        event = {"uri": f"{URI}2", "name": "Call", "start_time": when}
        second = invitee("invitee.created", email, 1, "2", scheduled_event=event)
        missed = invitee("invitee_no_show.created", email, 9)
    else:
        first, uri = booking("BOOKING_CREATED", email), "https://app.cal.com/booking/u1"
        second = booking("BOOKING_CREATED", email, 1, "u2", startTime=when)
        missed = absent(email)
        missed["payload"]["attendees"][0]["name"] = "Ada"
    desk.told(first, second, missed)
    comes = hour > 10
    assert shown(world, email)[0] == ("Booked" if comes else "No-Show")
    assert noshow_runs(email, uri) == (not comes and made is invitee)  # Cal.com's first is not known by then
    assert (world.send(enrolment, 2).name == "Skipped") is comes


def two_calls(made: Any, email: str, when: str, *, moved: bool = False) -> list[dict[str, Any]]:
    """A booking, another one since (the same call moved), and the cancellation of each."""
    if made is invitee:
        event = {"uri": f"{URI}1", "name": "Call", "start_time": when}
        more = {"old_invitee": f"{URI}1/invitees/9"} if moved else {}
        return [
            invitee("invitee.created", email, 0, "1", scheduled_event=event),
            invitee("invitee.created", email, 1, "2", **more),
            invitee("invitee.canceled", email, 8, "1", scheduled_event=event),
            invitee("invitee.canceled", email, 9, "2"),
        ]
    kind, more = ("BOOKING_RESCHEDULED", {"rescheduleUid": "u1"}) if moved else ("BOOKING_CREATED", {})
    return [
        booking("BOOKING_CREATED", email, 0, "u1", startTime=when),
        booking(kind, email, 1, "u2", **more),
        booking("BOOKING_CANCELLED", email, 8, "u1", startTime=when),
        booking("BOOKING_CANCELLED", email, 9, "u2"),
    ]


@pytest.mark.parametrize("made", [invitee, booking])
def test_who_cancels_the_later_of_two_calls_is_still_booked_for_the_first(world: World, desk: Desk, made: Any) -> None:
    enrolment = world.quickly("signup")
    email = enrolment["email"]
    first, second, first_off, second_off = two_calls(made, email, "2025-12-02T10:00:00Z")
    desk.told(first, second, second_off, second_off)
    assert shown(world, email)[0] == "Booked"
    assert world.send(enrolment, 2).name == "Skipped"
    first_off |= {"created_at" if made is invitee else "createdAt": "2025-11-20T11:00:00Z"}
    desk.told(first_off)
    assert shown(world, email)[0] == "Cancelled"


@pytest.mark.parametrize("made", [invitee, booking])
def test_nothing_stands_once_both_calls_are_cancelled_or_over_or_were_one(world: World, desk: Desk, made: Any) -> None:
    soon, over = "2025-12-02T10:00:00Z", "2025-11-20T10:05:00Z"
    both, past, one = world.address(), world.address(), world.address()
    desk.told(*two_calls(made, both, soon))
    first, second, _, off = two_calls(made, past, over)
    desk.told(first, second, off)
    first, second, _, off = two_calls(made, one, soon, moved=True)
    desk.told(first, second, off)
    assert [shown(world, email)[0] for email in (both, past, one)] == ["Cancelled"] * 3


def test_who_has_left_stays_as_he_is(world: World, desk: Desk) -> None:
    enrolment = world.quickly("signup")
    (page,) = world.rows(schema.CONTACTS, enrolment["email"])
    world.edit(schema.CONTACTS, page, Christmas_Campaign_Status="Unsubscribed")
    desk.told(booking("BOOKING_CREATED", enrolment["email"]))
    assert shown(world, enrolment["email"]) == ("Booked", "Unsubscribed")


@pytest.mark.parametrize("path", ["calendly", "calendly-noshow"])
def test_every_no_show_of_a_person_is_an_enrolment_and_each_is_one(world: World, desk: Desk, path: str) -> None:
    email = world.address()
    first = invitee("invitee_no_show.created", email, 1, "1")
    second = invitee("invitee_no_show.created", email, 9, "2")
    desk.told(first, first, second, path=path)
    assert noshow_runs(email, f"{URI}1", f"{URI}2") == 2
    with Prefect() as prefect:
        run = prefect.run_of(
            find_sequence("christmas", "noshow").key_of({"email": email, "calendly_event_uri": f"{URI}2"})
        )
    assert run is not None
    assert run.parameters["payload"] == {
        "email": email,
        "first_name": "Ada",
        "business_name": "Salon",
        "calendly_event_uri": f"{URI}2",
        "scheduled_time": "2025-12-01T10:00:00.000000Z",
        "event_type": "Call",
        "reschedule_url": "https://calendly.com/reschedulings/9",
    }
    assert world.run(run).is_completed()
    assert shown(world, email)[0] == "No-Show"


def test_a_no_show_of_cal_com_is_enrolled_by_what_its_booking_said(world: World, desk: Desk) -> None:
    email, stranger = world.address(), world.address()
    uri = "https://app.cal.com/booking/"
    desk.told(booking("BOOKING_CREATED", email), absent(email))
    assert noshow_runs(email, f"{uri}u1") == 1
    assert shown(world, email)[0] == "No-Show"
    desk.told(absent(email, 11, came=True))
    assert shown(world, email)[0] == "Booked"
    desk.told(absent(stranger))  # of a booking from before: neither name nor time is known
    assert noshow_runs(stranger, f"{uri}u1") == 0


def test_a_no_show_that_cannot_be_enrolled_is_told(world: World, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr(Prefect, "alarm", lambda _, __, text: told.append(text))
    email = world.address()
    desk.told(absent(email))
    (what,) = told
    assert "scheduled_time" in what
    assert email not in what


@pytest.mark.parametrize("text", ["S" * 9_000, "Salon\x00\x1b[2J\nX", "Salon\ud800", "\U0001f600" * 900, "é" * 1_500])
@pytest.mark.parametrize("made", [invitee, booking])
def test_whatever_somebody_writes_into_the_form_holds_no_booking_up(
    world: World, desk: Desk, made: Any, text: str
) -> None:
    """Anybody may book: what Prefect cannot keep would wait for ever, and be tried again every five seconds."""
    email = world.address()
    if made is invitee:
        more = {"name": text, "questions_and_answers": [{"question": "Your business?", "answer": text}]}
        told = invitee("invitee.created", email, **more, reschedule_url=f"https://calendly.com/{text}")
    else:
        attendees = [{"email": email, "name": text}]
        told = booking("BOOKING_CREATED", email, title=text, responses={"business": text}, attendees=attendees)
    desk.told(told)
    assert shown(world, email) == ("Booked", "Pre-Call Prep")
    with Prefect() as prefect:
        kept = prefect.variable(suppression.booking_name(email))
    assert kept["status"] == "Booked"
    assert all(value.isprintable() for value in kept["details"].values())
    assert kept["details"].get("reschedule_url") in {None, "https://calendly.com/Salon"}, "half of one is none"
    assert kept["details"]["business_name"][:1] == text[:1]


@pytest.mark.parametrize("body", [{}, {"event": "invitee.created"}, {"event": "invitee.created", "payload": {}}])
def test_what_is_no_event_is_refused(desk: Desk, body: dict[str, Any]) -> None:
    assert desk.post(body, "calendly") == 422
    assert desk.post({"triggerEvent": "BOOKING_CREATED", "payload": {"uid": "1", "attendees": [{}]}}) == 422
    assert desk.post({"triggerEvent": "BOOKING_CREATED", "createdAt": "now", "payload": {"uid": "1"}}) == 422


NAMELESS = {
    "no uri": invitee("invitee_no_show.created", "a@b.ca", scheduled_event=None, uri=None),
    "a uri that is no text": invitee("invitee.created", "a@b.ca", scheduled_event=None, uri={"a": 1}),
    "an empty uri": invitee("invitee.created", "a@b.ca", scheduled_event=None, uri=" "),
    "no uid": booking("BOOKING_CREATED", "a@b.ca") | {"payload": {"uid": None, "bookingUid": None, "attendees": []}},
    "a uid that is no text": booking("BOOKING_CREATED", "a@b.ca", uid=[]),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("body", NAMELESS.values(), ids=NAMELESS)
def test_a_booking_without_a_name_is_refused_and_not_called_none(body: dict[str, Any]) -> None:
    """Two of one person would be the same: of two no-shows one would be enrolled, and `None` stand in its mails."""
    body["payload"]["attendees"] = [{"email": "a@b.ca", "name": "Ada"}]
    with pytest.raises(ValueError, match=r"name|event of"):
        bookings.understood("calcom" if "triggerEvent" in body else "calendly", body)


ODD: dict[str, dict[str, Any]] = {
    "answers that are a text": {"questions_and_answers": "x"},
    "an answer that is nothing": {"questions_and_answers": [None]},
    "an answer that is a list": {"questions_and_answers": [{"question": "Business?", "answer": ["a", "b"]}]},
    "a question that is nothing": {"questions_and_answers": [{"question": None, "answer": "a"}]},
    "responses that are a text": {"responses": "x"},
    "responses that are a list": {"responses": ["business"]},
    "an event that is a text": {"scheduled_event": "x"},
    "a name that is a list": {"name": ["Ada"], "first_name": {}},
    "a title that is an object": {"title": {"a": 1}, "startTime": 5},
}


@pytest.mark.parametrize("more", ODD.values(), ids=ODD)
def test_an_odd_form_loses_no_booking(more: dict[str, Any]) -> None:
    """Of what is optional nothing is known then; that it was booked stops the mails all the same."""
    odd = "responses" in more or "title" in more
    body = booking("BOOKING_CREATED", "a@b.ca", **more) if odd else invitee("invitee.created", "a@b.ca", **more)
    (one,) = bookings.understood("calcom" if odd else "calendly", body)
    assert (one["email"], one["status"]) == ("a@b.ca", "Booked")
    assert one["details"].get("business_name") in {None, "Salon"}


def test_a_guest_whose_address_is_none_loses_nobody_elses_booking() -> None:
    guests: list[Any] = [{"email": "bad"}, None, {"email": None, "name": "Bo"}]
    body = booking("BOOKING_CREATED", "", attendees=[*guests, {"email": "a@b.ca"}])
    assert [one["email"] for one in bookings.understood("calcom", body)] == ["a@b.ca"]
    with pytest.raises(ValueError, match="without the attendee's address"):
        bookings.understood("calcom", booking("BOOKING_CREATED", "", attendees=guests))


def test_of_what_is_null_nothing_is_kept() -> None:
    absent_: dict[str, Any] = dict.fromkeys(("name", "first_name", "reschedule_url", "questions_and_answers"))
    event = {"uri": f"{URI}1", "name": None, "start_time": None}
    (one,) = bookings.understood("calendly", invitee("invitee.created", "a@b.ca", **absent_, scheduled_event=event))
    attendee = {"email": "a@b.ca", "name": None, "firstName": None}
    more: dict[str, Any] = {"title": None, "type": None, "startTime": None, "responses": {"business": None}}
    (two,) = bookings.understood("calcom", booking("BOOKING_CREATED", "a@b.ca", attendees=[attendee], **more))
    assert one["details"] == {"calendly_event_uri": f"{URI}1"}
    assert two["details"] == {"calendly_event_uri": "https://app.cal.com/booking/u1"}
    found = find_sequence("christmas", "noshow")
    assert found.key_of({"email": "a@b.ca", "calendly_event_uri": None}) == found.key_of({"email": "a@b.ca"})


@pytest.mark.parametrize(
    "body", [{"event": "routing_form_submission.created", "payload": {}}, {"triggerEvent": "PING"}]
)
def test_what_means_nothing_here_is_taken_and_forgotten(desk: Desk, body: dict[str, Any]) -> None:
    assert desk.post(body) == 202
    assert list((desk.folder / "bookings").glob("*.json")) == []


def test_a_customer_gets_no_more_sales_mails_whatever_notion_says_and_what_a_customer_must_get(world: World) -> None:
    signup = world.quickly("signup")
    email = signup["email"]
    onboarding = world.quickly("onboarding", email=email)
    (page,) = world.rows(schema.CONTACTS, email)
    world.edit(schema.CONTACTS, page, Christmas_Campaign_Status="Signed Up")
    skipped = world.send(signup, 2)
    assert skipped.name == "Skipped"
    assert "customer" in str(skipped.message)
    assert world.send(onboarding, 2).name == "Completed"
    late = world.run(world.enrol("noshow", world.payload("noshow", email=email)))
    assert late.name == "Skipped"


def test_bookings_are_understood_without_a_service() -> None:
    (one,) = bookings.understood("calendly", invitee("invitee.created", "Ada@Example.com", first_name="Ada"))
    assert (one["email"], one["status"], one["at"]) == ("ada@example.com", "Booked", "2025-11-20T10:00:00+00:00")
    two = bookings.understood(
        "calcom", booking("BOOKING_CREATED", "a@example.com", responses={"business_name": {"value": "Salon"}})
    )
    assert two[0]["details"]["business_name"] == "Salon"
