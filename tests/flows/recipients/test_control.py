"""The person in control: what is skipped, with which reason, as Notion says just before the send."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from flows.enrolment.enrol import enrol
from flows.services import notion_schema as schema

if TYPE_CHECKING:
    from tests.flows.world import World


def skipped(world: World, enrolment: dict[str, Any], step: int, reason: str) -> None:
    state = world.send(enrolment, step)
    assert state.is_completed()
    assert state.name == "Skipped"
    assert reason in str(state.message)
    assert world.accepted(enrolment["email"]) == []


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"Email_2_Sent": "2025-12-01"}, "already sent on 2025-12-01"),
        ({"Sequence_Completed": True}, "sequence completed"),
        ({"Cancelled": True}, "cancelled in Notion"),
    ],
)
def test_a_change_of_the_record_stops_the_mail(world: World, change: dict[str, Any], reason: str) -> None:
    enrolment = world.quickly("signup")
    world.edit(schema.SEQUENCE, world.record(enrolment["email"]), **change)
    skipped(world, enrolment, 2, reason)


def test_a_record_in_the_trash_stops_the_mail(world: World) -> None:
    enrolment = world.quickly("signup")
    world.services.notion.store.update_page(enrolment["page"], {"in_trash": True})
    skipped(world, enrolment, 2, "trash")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"Christmas_Campaign_Status": "Unsubscribed"}, "the contact is unsubscribed"),
        ({"Christmas_Campaign_Status": "Bounced"}, "the contact is bounced"),
        ({"Christmas_Campaign_Status": "Complained"}, "the contact is complained"),
        ({"Booking_Status": "Booked"}, "a booking is made: Booked"),
    ],
)
def test_a_change_of_the_contact_stops_the_mail(world: World, change: dict[str, Any], reason: str) -> None:
    enrolment = world.quickly("signup")
    (contact,) = world.rows(schema.CONTACTS, enrolment["email"])
    world.edit(schema.CONTACTS, contact, **change)
    skipped(world, enrolment, 3, reason)


@pytest.mark.parametrize(
    ("change", "reason"),
    [({"Christmas_Campaign_Status": "Unsubscribed"}, "unsubscribed"), ({"Booking_Status": "Booked"}, "booking")],
)
def test_who_has_left_or_booked_is_not_enrolled(world: World, change: dict[str, Any], reason: str) -> None:
    enrolment = world.quickly("noshow")
    (contact,) = world.rows(schema.CONTACTS, enrolment["email"])
    world.edit(schema.CONTACTS, contact, **change)
    state = enrol("christmas", "signup", world.payload("signup", email=enrolment["email"]), None)
    assert state.name == "Skipped"
    assert reason in str(state.message)
    assert len(world.rows(schema.SEQUENCE, enrolment["email"])) == 1


def test_a_record_thrown_away_while_the_mail_is_on_its_way_does_not_fail_the_run(world: World) -> None:
    enrolment = world.quickly("signup")
    world.setenv("HUBLAB_RETRY_SECONDS", "0")
    world.notion_fault("refuse", method="PATCH", path="/pages/")
    assert world.send(enrolment, 1).name == "AwaitingRetry"  # accepted, and not recorded yet
    world.services.notion.store.update_page(enrolment["page"], {"in_trash": True})
    assert world.send(enrolment, 1).name == "Completed"
    assert len(world.accepted(enrolment["email"])) == 1


def test_the_same_address_comes_in_once_and_again_only_in_a_new_round(world: World) -> None:
    payload = world.payload("signup")
    first = world.enrol("signup", payload)
    assert world.enrol("signup", payload | {"email": payload["email"].upper()}).id == first.id


def test_an_enrolment_that_prefect_forgot_does_not_get_a_second_page(world: World) -> None:
    enrolment = world.quickly("signup")
    assert enrol("christmas", "signup", world.payload("signup", email=enrolment["email"]), None).name == "Completed"
    assert world.record(enrolment["email"])["id"] == enrolment["page"]
    assert len(world.mails(enrolment["email"])) == 7


def test_the_last_mail_completes_the_sequence_in_whatever_order_they_go(world: World) -> None:
    enrolment = world.quickly("onboarding")
    for step in (3, 1):
        assert world.send(enrolment, step).name == "Completed"
        assert schema.read(world.record(enrolment["email"]), "Sequence Completed") is False
    assert world.send(enrolment, 2).name == "Completed"
    assert schema.read(world.record(enrolment["email"]), "Sequence Completed") is True
    (project,) = world.rows(schema.PROJECTS, enrolment["email"])
    assert schema.read(project, "Status") == "Onboarding"
