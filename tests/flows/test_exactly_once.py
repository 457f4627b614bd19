"""One mail is accepted once and recorded once, whatever the services answer."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from flows.operator import operate
from flows.sending.delivery import UncertainSendError
from flows.services import notion_schema as schema
from flows.services.errors import NotionError, NotionUnavailableError, ResendFailedError

if TYPE_CHECKING:
    from tests.flows.world import World


def once(world: World, enrolment: dict[str, Any], step: int = 2) -> None:
    assert len(world.accepted(enrolment["email"])) == 1
    assert schema.read(world.record(enrolment["email"]), f"Email {step} Sent")


@pytest.mark.parametrize(
    "rule",
    [
        {"kind": "refuse", "status": 429, "code": "rate_limited", "headers": {"Retry-After": "1"}},
        {"kind": "refuse-html", "status": 429},
        {"kind": "refuse", "status": 529, "code": "service_overload"},
        {"kind": "refuse", "status": 503, "times": 2},
        {"kind": "refuse-html", "status": 522},  # of the network before Notion
        {"kind": "refuse-html", "status": 408},
        {"kind": "refuse-html", "status": 200},
        {"kind": "saved-but-refused", "status": 503},
        {"kind": "saved-but-refused", "status": 524},
        {"kind": "drop-before"},
        {"kind": "drop-after"},
        {"kind": "refuse", "status": 409, "code": "conflict_error", "method": "PATCH"},
    ],
    ids=lambda rule: f"{rule['kind']}-{rule.get('status', '')}",
)
def test_notion_misbehaves_at_the_enrolment_and_at_the_send(world: World, rule: dict[str, Any]) -> None:
    for path in ("/query$", "/pages$"):
        world.notion_fault(**rule | {"path": path})
    enrolment = world.quickly("signup")
    world.notion_fault(**rule | {"path": "/pages/"})
    assert world.send(enrolment).name == "Completed"
    once(world, enrolment)
    assert len(world.rows(schema.CONTACTS, enrolment["email"])) == 1


@pytest.mark.parametrize(
    "rule",
    [
        {"kind": "refuse", "status": 429, "code": "rate_limit_exceeded", "headers": {"retry-after": "1"}},
        {"kind": "refuse", "status": 500, "code": "internal_server_error"},
        {"kind": "refuse", "status": 409, "code": "concurrent_idempotent_requests"},
        {"kind": "refuse-html", "status": 502},
        {"kind": "refuse", "status": 200},
        {"kind": "saved-but-refused", "status": 500},
        {"kind": "saved-but-refused", "status": 200},
        {"kind": "drop-before"},
        {"kind": "drop-after"},
    ],
    ids=lambda rule: f"{rule['kind']}-{rule.get('status', '')}",
)
def test_mail_goes_out_once_however_resend_misbehaves(world: World, rule: dict[str, Any]) -> None:
    enrolment = world.quickly("signup")
    world.resend_fault(**rule | {"path": "/emails"})
    assert world.send(enrolment).name == "Completed"
    once(world, enrolment)


def test_a_template_edited_between_two_tries_changes_nothing(world: World) -> None:
    enrolment = world.quickly("signup")
    world.setenv("HUBLAB_RETRY_SECONDS", "0")
    world.resend_fault("saved-but-refused", status=500, path="/emails")
    state = world.send(enrolment)
    assert state.name == "AwaitingRetry"
    world.edit(schema.TEMPLATES, world.template("christmas_email_2"), Subject_Line="Another subject")
    assert world.send(enrolment).name == "Completed"
    once(world, enrolment)


def test_a_service_that_is_away_postpones_the_mail_and_loses_none(world: World) -> None:
    email, runs = world.enrolled("noshow")
    world.setenv("HUBLAB_RETRY_SECONDS", "0")
    world.notion_fault("refuse", path="/pages/", times=1)
    state = world.run(runs[1])
    assert state.is_scheduled()
    assert state.name == "AwaitingRetry"
    assert world.run(runs[1]).name == "Completed"
    assert len(world.accepted(email)) == 1
    assert world.rows(schema.ANALYTICS, email) == []


def uncertain(world: World, kind: str) -> dict[str, Any]:
    """A mail whose first try had an outcome nobody saw, a day ago."""
    enrolment = world.quickly("signup")
    world.setenv("HUBLAB_RETRY_SECONDS", "0")
    world.resend_fault(kind, status=500, path="/emails")
    assert world.send(enrolment).name == "AwaitingRetry"
    world.services.resend.store.clock.advance(25 * 3600)
    world.setenv("HUBLAB_RESEND_WINDOW_HOURS", "0")
    return enrolment


def test_after_a_day_an_accepted_mail_is_found_and_not_sent_again(world: World) -> None:
    enrolment = uncertain(world, "saved-but-refused")
    assert world.send(enrolment).name == "Completed"
    once(world, enrolment)


def test_after_a_day_a_mail_that_cannot_be_found_is_not_sent_on_a_guess(world: World) -> None:
    enrolment = uncertain(world, "refuse")
    with pytest.raises(UncertainSendError, match="campaign forget"):
        world.send(enrolment)
    assert world.accepted(enrolment["email"]) == []
    key = f"{enrolment['key']}:2"
    assert operate.main(["forget", key]) == 0
    world.setenv("HUBLAB_RESEND_WINDOW_HOURS", "23")
    assert world.send(enrolment).name == "Completed"
    once(world, enrolment)
    assert operate.main(["forget", key]) == 1
    assert operate.main(["forget", "nonsense"]) == 1


@pytest.mark.parametrize(("kind", "sent"), [("saved-but-refused", 1), ("refuse", 0)])
def test_a_mail_cancelled_between_two_tries_is_recorded_or_skipped_as_it_was(
    world: World, kind: str, sent: int
) -> None:
    enrolment = world.quickly("signup")
    world.setenv("HUBLAB_RETRY_SECONDS", "0")
    world.resend_fault(kind, status=500, path="/emails")
    assert world.send(enrolment).name == "AwaitingRetry"
    world.edit(schema.SEQUENCE, world.record(enrolment["email"]), Cancelled=True)
    assert world.send(enrolment).name == ("Completed" if sent else "Skipped")
    assert len(world.accepted(enrolment["email"])) == sent


def test_an_accepted_mail_is_recorded_later_when_notion_is_away(world: World) -> None:
    enrolment = world.quickly("signup")
    world.setenv("HUBLAB_RETRY_SECONDS", "0")
    world.notion_fault("refuse", method="PATCH", path="/pages/")
    assert world.send(enrolment).name == "AwaitingRetry"
    world.services.resend.store.clock.advance(48 * 3600)
    assert world.send(enrolment).name == "Completed"
    once(world, enrolment)


def test_a_mail_that_resend_refuses_fails_and_is_in_email_analytics_once(world: World) -> None:
    enrolment = world.quickly("signup", email=f"somebody{datetime.now(UTC):%H%M%S%f}@resend.dev")
    enrolment |= {"email": f"nobody{datetime.now(UTC):%H%M%S%f}@example.com"}
    for _ in range(2):
        with pytest.raises(ResendFailedError, match="422 validation_error"):
            world.send(enrolment)
    (row,) = world.rows(schema.ANALYTICS, enrolment["email"])
    assert schema.read(row, "Status") == "Failed"
    assert "re_standin_key" not in schema.read(row, "Error Message")


def test_a_write_saved_and_answered_with_503_is_not_made_twice_when_queries_lag(world: World) -> None:
    world.services.notion.store.lag = 1.0
    world.setenv("HUBLAB_NOTION_LAG_SECONDS", "1.2")
    world.notion_fault("drop-after", path="/pages$", times=2)
    enrolment = world.quickly("signup")
    assert len(world.rows(schema.CONTACTS, enrolment["email"])) == 1
    assert len(world.rows(schema.SEQUENCE, enrolment["email"])) == 1


def test_notions_refusals_are_errors_without_the_token(world: World) -> None:
    enrolment = world.quickly("signup")
    world.services.notion.token = "another"
    with pytest.raises(NotionError, match="401 unauthorized") as caught:
        world.send(enrolment)
    assert "ntn_standin_token" not in str(caught.value) + str(caught.value.__notes__)
    assert not isinstance(caught.value, NotionUnavailableError)
