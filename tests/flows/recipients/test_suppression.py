"""Who has left gets nothing: by a record of its own, read just before each send, and failing closed."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from flows.enrolment.enrol import enrol
from flows.operator import operate, preview
from flows.recipients import suppression
from flows.recipients.contact import UnreadableRecordError
from flows.recipients.mailbox import mailbox
from flows.services import notion_schema as schema
from flows.services.notion_mapping import NotionMapping
from flows.services.prefect_api import RESEND_LIMIT, Prefect
from flows.watch_flow import watch
from flows.webhooks import app, events
from flows.webhooks.forwarding import Forwarder
from flows.webhooks.spool import Spool

if TYPE_CHECKING:
    from pathlib import Path

    from tests.flows.world import World

STATUS = "Christmas Campaign Status"


def leave(email: str, cause: str = "Unsubscribed") -> None:
    with Prefect() as prefect:
        suppression.record(prefect, email, cause, "2025-12-01T10:00:00+00:00", "test")


def nothing_more(world: World, enrolment: dict[str, Any], step: int = 2) -> str:
    state = world.send(enrolment, step)
    assert state.name == "Skipped", state.message
    assert world.accepted(enrolment["email"]) == []
    return str(state.message)


def person() -> str:
    return f"ada{time.time_ns()}"


def leaves_at_call(monkeypatch: pytest.MonkeyPatch, email: str, number: int) -> None:
    """Somebody leaves while his mail waits for the limit that all share: at that call of Resend's."""
    calls, waits = [], Prefect.wait_for

    def wait(prefect: Prefect, limit: str, *more: str) -> None:
        waits(prefect, limit, *more)
        if limit == RESEND_LIMIT:
            calls.append(limit)
            if len(calls) == number:
                leave(email)

    monkeypatch.setattr(Prefect, "wait_for", wait)


def test_who_leaves_while_a_mail_waits_for_its_turn_gets_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prefect may be away for long just then, and the wait with it."""
    enrolment = world.quickly("signup")
    leaves_at_call(monkeypatch, enrolment["email"], 1)
    assert "suppressed: unsubscribed" in nothing_more(world, enrolment)
    nothing_more(world, enrolment)


@pytest.mark.parametrize("went_out", [True, False])
def test_who_leaves_between_two_tries_gets_no_second_one_and_the_first_is_written_down(
    world: World, monkeypatch: pytest.MonkeyPatch, went_out: bool
) -> None:
    enrolment = world.quickly("signup")
    world.resend_fault("saved-but-refused" if went_out else "refuse", status=500, code="application_error", times=1)
    leaves_at_call(monkeypatch, enrolment["email"], 2)
    state = world.send(enrolment)
    assert len(world.accepted(enrolment["email"])) == went_out
    assert bool(schema.read(world.record(enrolment["email"]), "Email 2 Sent")) is went_out
    assert (state.name == "Skipped") is not went_out, state.message


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("Ada@Salon.example", "ada@salon.example", True),
        ("ada+xmas@salon.example", "ada@salon.example", True),
        ("a.d.a+x@gmail.com", "ada@googlemail.com", True),
        ("ada.l@proton.me", "adal@pm.me", True),
        ("a.da@salon.example", "ada@salon.example", False),
        ("+x@salon.example", "+y@salon.example", False),
        ("delivered+1@resend.dev", "delivered+2@resend.dev", False),
        ("ada@salon.example", "ada@salon.test", False),
    ],
)
def test_addresses_of_one_mailbox_are_one(one: str, other: str, same: bool) -> None:
    assert (mailbox(one) == mailbox(other)) is same


@pytest.mark.parametrize(
    ("left", "writes"),
    [
        ("{}@gmail.com", "{}+again@googlemail.com"),
        ("{}+a@salon.net", "{}@salon.net"),
        ("{}@salon.net", "{}+b@Salon.NET"),
    ],
)
def test_who_has_left_is_known_however_the_address_is_written(world: World, left: str, writes: str) -> None:
    name = person()
    leave(left.format(name))
    state = enrol("christmas", "signup", world.payload("signup", email=writes.format(name)), None)
    assert state.name == "Skipped"
    assert "suppressed: unsubscribed" in str(state.message)
    assert world.rows(schema.CONTACTS, writes.format(name).lower()) == []


def test_a_noshow_within_notions_lag_after_an_unsubscribe_is_not_enrolled_and_changes_nothing(world: World) -> None:
    enrolment = world.quickly("signup")
    (contact,) = world.rows(schema.CONTACTS, enrolment["email"])
    world.services.notion.store.lag = 30.0  # a query shows the contact as it was
    leave(enrolment["email"])
    world.edit(schema.CONTACTS, contact, Christmas_Campaign_Status="Unsubscribed")
    state = enrol("christmas", "noshow", world.payload("noshow", email=enrolment["email"]), None)
    assert state.name == "Skipped"
    (contact,) = world.rows(schema.CONTACTS, enrolment["email"])
    assert schema.read(contact, STATUS) == "Unsubscribed"
    nothing_more(world, enrolment)


def test_of_two_contacts_of_an_address_either_may_say_that_it_has_left(world: World) -> None:
    enrolment = world.quickly("signup")
    store = world.services.notion.store
    source = store.database(world.services.databases[schema.CONTACTS])
    store.create_page(
        source, NotionMapping().written(schema.CONTACTS, {"Email": enrolment["email"], STATUS: "Unsubscribed"})
    )
    state = enrol("christmas", "noshow", world.payload("noshow", email=enrolment["email"]), None)
    assert state.name == "Skipped"


@pytest.mark.parametrize("status", ["Unsubscribed", "unsubscribed ", "COMPLAINED", "Bounced"])
def test_who_is_taken_off_the_list_on_any_contact_of_the_address_gets_nothing_after_the_watchs_next_look(
    world: World, status: str
) -> None:
    """The record leads to another contact, which says nothing."""
    enrolment = world.quickly("signup")
    world.setenv("ALERT_URLS", "")
    assert "left by an edit" not in watch.fn("default").message
    store = world.services.notion.store
    source = store.database(world.services.databases[schema.CONTACTS])
    other = store.create_page(source, NotionMapping().written(schema.CONTACTS, {"Email": enrolment["email"].upper()}))
    store.update_page(other["id"], {"properties": {STATUS: {"select": {"name": status}}}})
    assert "1 left by an edit in Notion" in watch.fn("default").message
    assert "suppressed" in nothing_more(world, enrolment)


def test_a_look_at_the_contacts_that_failed_is_made_up_for(world: World) -> None:
    enrolment = world.quickly("signup")
    world.setenv("ALERT_URLS", "")
    (contact,) = world.rows(schema.CONTACTS, enrolment["email"])
    world.services.notion.store.update_page(
        contact["id"], {"properties": {STATUS: {"select": {"name": "Unsubscribed"}}}}
    )
    world.notion_fault("refuse", path="query", status=400, code="validation_error")
    assert "contacts were not looked at: " in watch.fn("default").message
    assert "1 left by an edit in Notion" in watch.fn("default").message


def test_an_unsubscribe_is_shown_on_every_contact_of_the_address(world: World, tmp_path: Path) -> None:
    enrolment = world.quickly("signup")
    store = world.services.notion.store
    source = store.database(world.services.databases[schema.CONTACTS])
    store.create_page(source, NotionMapping().written(schema.CONTACTS, {"Email": enrolment["email"]}))
    forwarder = Forwarder(Spool(tmp_path))
    forwarder.spool.put("one", {"kind": "event", "event": events.unsubscribed(enrolment["email"])})
    assert forwarder.once() == 1
    shown = {schema.read(page, STATUS) for page in world.rows(schema.CONTACTS, enrolment["email"])}
    assert shown == {"Unsubscribed"}
    assert "unsubscribed" in nothing_more(world, enrolment)


@pytest.mark.parametrize("what", ["trashed", "replaced", "unlinked"])
def test_whatever_becomes_of_the_contact_in_notion_who_has_left_gets_nothing(world: World, what: str) -> None:
    enrolment = world.quickly("signup")
    (contact,) = world.rows(schema.CONTACTS, enrolment["email"])
    store = world.services.notion.store
    leave(enrolment["email"])
    if what == "trashed":
        store.update_page(contact["id"], {"in_trash": True})
    if what == "replaced":
        world.edit(schema.CONTACTS, contact, Email="another@resend.dev")
    if what == "unlinked":
        store.update_page(enrolment["page"], {"properties": {"Contact": {"relation": []}}})
    nothing_more(world, enrolment)


def test_a_record_that_leads_to_no_contact_is_no_permission(world: World) -> None:
    enrolment = world.quickly("signup")
    (contact,) = world.rows(schema.CONTACTS, enrolment["email"])
    world.services.notion.store.update_page(enrolment["page"], {"properties": {"Contact": {"relation": []}}})
    assert world.send(enrolment, 3).name == "Completed"  # there is one contact of that address, and it may be mailed
    world.services.notion.store.update_page(contact["id"], {"in_trash": True})
    assert "not in Notion any more" in str(world.send(enrolment, 2).message)


@pytest.mark.parametrize("name", ["Contact Status", "Contact Booking", "Contact", "Cancelled", "Sequence Completed"])
def test_a_renamed_property_stops_the_mail_and_is_named(world: World, name: str) -> None:
    enrolment = world.quickly("signup")
    schemas = world.services.notion.store.database(world.services.databases[schema.SEQUENCE]).schema
    kept = dict(schemas)
    try:
        schemas[f"{name} (old)"] = schemas.pop(name)
        with pytest.raises(UnreadableRecordError, match=f"no property '{name}'"):
            world.send(enrolment)
    finally:
        schemas.clear()
        schemas.update(kept)
    assert world.accepted(enrolment["email"]) == []
    assert world.send(enrolment).name == "Completed"


@pytest.mark.parametrize(("status", "name"), [("Unsubscribed", "Skipped"), ("Signed Up", "Completed")])
@pytest.mark.parametrize("broken", [{"type": "incomplete", "incomplete": {}}, {"type": "array", "array": []}])
def test_a_rollup_that_does_not_tell_is_not_believed_and_the_contact_itself_is_asked(
    world: World, monkeypatch: pytest.MonkeyPatch, status: str, name: str, broken: dict[str, Any]
) -> None:
    enrolment = world.quickly("signup")
    (contact,) = world.rows(schema.CONTACTS, enrolment["email"])
    world.edit(schema.CONTACTS, contact, Christmas_Campaign_Status=status)
    monkeypatch.setattr(world.services.notion.store, "_rollup", lambda *_: broken)
    assert world.send(enrolment).name == name
    assert len(world.accepted(enrolment["email"])) == (name == "Completed")


def test_who_leaves_after_the_mail_was_frozen_does_not_get_it(world: World) -> None:
    enrolment = world.quickly("signup")
    world.setenv("HUBLAB_RETRY_SECONDS", "0")
    world.resend_fault("refuse", status=500, path="/emails")
    assert world.send(enrolment).name == "AwaitingRetry"
    leave(enrolment["email"])
    assert "suppressed" in nothing_more(world, enrolment)


@pytest.mark.parametrize("answer", [500, 404, "not a list"])
def test_a_record_that_cannot_be_read_means_that_nothing_is_sent_now(
    world: World, monkeypatch: pytest.MonkeyPatch, answer: int | str
) -> None:
    enrolment = world.quickly("signup")

    def away(_: Prefect, names: list[str]) -> Any:
        if names[0].startswith("suppressed-"):
            if isinstance(answer, str):
                raise json.JSONDecodeError(answer, "", 0)
            request = httpx.Request("POST", "http://prefect/variables/filter")
            raise httpx.HTTPStatusError("away", request=request, response=httpx.Response(answer, request=request))
        return asked(_, names)

    asked = Prefect.variables
    monkeypatch.setattr(Prefect, "variables", away)
    assert world.send(enrolment).name == "AwaitingRetry"
    assert world.accepted(enrolment["email"]) == []
    other = enrol("christmas", "signup", world.payload("signup"), datetime.now(UTC).isoformat())
    assert other.name == "AwaitingRetry"
    monkeypatch.setattr(Prefect, "variables", asked)
    assert world.send(enrolment).name == "Completed"


@pytest.mark.parametrize(
    ("cause", "marketing", "customer"),
    [
        ("Unsubscribed", "Skipped", "Completed"),
        ("Bounced", "Skipped", "Skipped"),
        ("Complained", "Skipped", "Skipped"),
        ("Suppressed", "Skipped", "Skipped"),
    ],
)
def test_a_customer_who_once_unsubscribed_is_onboarded_and_stays_unsubscribed(
    world: World, cause: str, marketing: str, customer: str
) -> None:
    enrolment = world.quickly("signup")
    (contact,) = world.rows(schema.CONTACTS, enrolment["email"])
    world.edit(schema.CONTACTS, contact, Christmas_Campaign_Status=cause)
    leave(enrolment["email"], cause)
    state = enrol("christmas", "onboarding", world.payload("onboarding", email=enrolment["email"]), None)
    assert state.name == customer
    if customer == "Completed":
        (run, *_) = (
            one for one in world.mails(enrolment["email"]) if one.parameters["enrolment"]["sequence"] == "onboarding"
        )
        assert world.send(run.parameters["enrolment"], 1).name == "Completed"
    (contact,) = world.rows(schema.CONTACTS, enrolment["email"])
    assert schema.read(contact, STATUS) == cause
    assert world.send(enrolment, 2).name == marketing


def resends(kind: str, email: str, **more: Any) -> dict[str, Any]:
    tags = {"campaign": "christmas", "sequence": "signup", "step": "2", "template": "christmas_email_2"}
    data = {"to": [email], "email_id": f"mail-{time.time_ns()}", "tags": tags} | more
    return {"type": f"email.{kind}", "created_at": "2025-12-01T00:00:00Z", "data": data}


@pytest.mark.parametrize(
    ("kind", "more", "shown", "cause"),
    [
        ("delivered", {}, "Delivered", None),
        ("delivery_delayed", {}, "Delayed", None),
        ("failed", {"failed": {"reason": "reached_daily_quota"}}, "Failed", None),
        ("bounced", {"bounce": {"type": "Permanent", "message": "no such user"}}, "Bounced", "Bounced"),
        ("bounced", {"bounce": {"type": "Transient", "message": "mailbox full"}}, "Soft Bounced", None),
        ("bounced", {"bounce": {"type": "Undetermined", "message": "?"}}, "Soft Bounced", None),
        (
            "suppressed",
            {"suppressed": {"message": "on the list", "reason": "previous_bounce"}},
            "Suppressed",
            "Suppressed",
        ),
        ("complained", {}, "Complained", "Complained"),
    ],
)
def test_each_event_of_resends_is_shown_and_suppresses_where_it_must(
    world: World, tmp_path: Path, kind: str, more: dict[str, Any], shown: str, cause: str | None
) -> None:
    email = world.address()
    event = events.understood(resends(kind, email, **more))
    assert event is not None
    forwarder = Forwarder(Spool(tmp_path))
    forwarder.spool.put("one", {"kind": "event", "event": event})
    assert forwarder.once() == 1
    (row,) = world.rows(schema.ANALYTICS, email)
    assert schema.read(row, "Status") == shown
    assert schema.read(row, "Template ID") == "christmas_email_2"
    said: dict[str, Any] = next(iter(more.values()), {})
    assert (schema.read(row, "Error Message") or "") == (said.get("message") or said.get("reason") or "")
    with Prefect() as prefect:
        assert suppression.causes(prefect, email) == ([cause] if cause else [])


def test_an_unsubscribe_waits_behind_nothing_that_notion_refuses(world: World, tmp_path: Path) -> None:
    """The whole app: Notion is away for good, and who has left is known at once all the same."""
    from flows.recipients import unsubscribe  # noqa: PLC0415
    from tests.flows.webhooks.test_routes import eventually, opened  # noqa: PLC0415

    email = world.address()
    world.notion_fault("refuse", status=503, path="/", times=10_000)
    # Something came before it that cannot be told to Notion.
    Spool(tmp_path / "events").put("a", {"kind": "event", "event": events.understood(resends("delivered", email))})
    with opened(world, tmp_path) as client:
        assert client.post(f"/unsubscribe/{unsubscribe.token('unsubscribe-test', email)}").status_code == 202

        def known() -> bool:
            with Prefect() as prefect:
                return suppression.causes(prefect, email) == ["Unsubscribed"]

        eventually(known)
        assert client.get("/health").json()["events"]["waiting"] == 2
        world.services.notion.book.rules.clear()


def test_what_became_of_a_mail_waits_for_others_and_who_has_left_for_nothing(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr(Forwarder, "notify", lambda forwarder: told.append(forwarder.spool.folder.name))
    with Prefect() as prefect:
        receiver = app.Receiver(prefect.settings(), tmp_path)
    for kind in ("delivered", "bounced"):
        event = events.understood(resends(kind, world.address()))
        assert event is not None
        assert asyncio.run(receiver.keep_event(kind, event)).status_code == 202
    assert told == ["suppressions"]
    assert Spool(tmp_path / "events").waiting == 2


def test_a_test_send_that_bounces_says_nothing_of_a_contact(world: World) -> None:
    to = world.address("bounced")
    assert preview.main(["christmas_email_2", "--to", to]) == 0
    (mail,) = world.accepted(to)
    tags = {tag["name"]: tag["value"] for tag in mail["payload"]["tags"]}
    assert events.understood(resends("bounced", to, tags=tags, bounce={"type": "Permanent"})) is None


def test_a_person_is_stopped_and_allowed_by_one_command(world: World) -> None:
    enrolment = world.quickly("onboarding")
    assert operate.main(["stop", enrolment["email"].upper()]) == 0
    assert "suppressed: cancelled" in nothing_more(world, enrolment)
    assert operate.main(["allow", enrolment["email"], "--yes"]) == 0
    assert world.send(enrolment).name == "Completed"


def test_lifting_lets_an_address_get_mail_again(world: World) -> None:
    email = world.address()
    leave(email)
    leave(email, "Bounced")
    with Prefect() as prefect:
        suppression.lift(prefect, email, ["Unsubscribed"])
        assert suppression.causes(prefect, email) == ["Bounced"]
        suppression.lift(prefect, email, ["Unsubscribed", "Bounced"])
        assert suppression.causes(prefect, email) == []


def test_who_left_before_both_writings_of_a_domain_were_one_has_left_still(world: World) -> None:
    """An earlier release kept an address in a domain with `ß` under the writing that was told."""
    local = person()
    told, own = f"{local}@xn--strae-oqa.example", f"{local}@straße.example"
    kept = f"suppressed-{hashlib.sha256(told.encode()).hexdigest()[:32]}-unsubscribed"
    with Prefect() as prefect:
        prefect.claim(kept, {"cause": "Unsubscribed", "at": "2025-12-01T10:00:00+00:00", "source": "test"})
        assert [suppression.causes(prefect, one) for one in (told, own)] == [["Unsubscribed"]] * 2
        suppression.record(prefect, own, "Unsubscribed", "2025-12-02T10:00:00+00:00", "test")
        assert suppression.causes(prefect, own) == ["Unsubscribed"]
        suppression.lift(prefect, own, ["Unsubscribed"])
        assert [suppression.causes(prefect, one) for one in (told, own)] == [[], []]
