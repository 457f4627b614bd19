"""What Resend refuses for certain is let go of and made anew when the cause is mended; what is not certain is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from flows.operator import retry_failed
from flows.sending import frozen
from flows.services import notion_schema as schema
from flows.services import postpone
from flows.services.errors import ResendFailedError, ResendQuotaError
from flows.services.prefect_api import Prefect

if TYPE_CHECKING:
    from tests.flows.world import World

DAILY: dict[str, Any] = {"kind": "refuse", "status": 429, "code": "daily_quota_exceeded", "path": "/emails"}


def kept(enrolment: dict[str, Any], step: int = 2) -> frozen.FrozenMail | None:
    with Prefect() as prefect:
        return frozen.thaw(prefect, enrolment["key"], step)


def test_a_wrong_sender_that_is_mended_is_sent_right(world: World) -> None:
    enrolment = world.quickly("signup")
    right = world.environment["HUBLAB_SENDER"]
    world.setenv("HUBLAB_SENDER", "Hublab <hello@unverified.test>")
    with pytest.raises(ResendFailedError, match="403"):
        world.send(enrolment)
    assert kept(enrolment) is None
    world.setenv("HUBLAB_SENDER", right)
    assert world.send(enrolment).name == "Completed"
    (mail,) = world.accepted(enrolment["email"])
    assert mail["payload"]["from"] == right


def test_a_refusal_after_a_try_of_which_nobody_saw_the_outcome_sends_nothing_twice(world: World) -> None:
    enrolment = world.quickly("signup")
    world.setenv("HUBLAB_RETRY_SECONDS", "0")
    world.resend_fault("saved-but-refused", status=500, path="/emails")
    assert world.send(enrolment).name == "AwaitingRetry"
    world.resend_fault("refuse", status=403, code="validation_error", path="/emails", method="POST")
    assert world.send(enrolment).name == "Completed"
    assert len(world.accepted(enrolment["email"])) == 1
    assert schema.read(world.record(enrolment["email"]), "Email 2 Sent")


def test_a_refusal_right_after_an_attempt_without_an_answer_keeps_the_mail(world: World) -> None:
    enrolment = world.quickly("signup")
    world.resend_fault("saved-but-refused", status=500, path="/emails")
    world.resend_fault("refuse", status=403, code="validation_error", path="/emails", method="POST")
    with pytest.raises(ResendFailedError, match="403"):
        world.send(enrolment)
    assert kept(enrolment) is not None
    world.edit(schema.TEMPLATES, world.template("christmas_email_2"), Subject_Line="Another")
    assert world.send(enrolment).name == "Completed"
    assert len(world.accepted(enrolment["email"])) == 1


def test_a_quota_is_waited_for_beyond_its_reset_and_the_mail_is_not_uncertain_then(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    enrolment = world.quickly("signup")
    world.resend_fault(**DAILY)
    assert world.send(enrolment).name == "AwaitingRetry"
    assert kept(enrolment) is None  # refused for certain: no time runs out for it
    assert postpone.MOST * postpone.QUOTA_WAIT / 60 > 25
    monkeypatch.setenv("PREFECT__RUNTIME__FLOW_RUN__RUN_COUNT", str(postpone.MOST))
    monkeypatch.setattr(postpone, "_postponed", lambda: postpone.MOST - 1)
    world.resend_fault(**DAILY)
    with pytest.raises(ResendQuotaError):
        world.send(enrolment)
    assert world.send(enrolment).name == "Completed"
    assert len(world.accepted(enrolment["email"])) == 1


def test_what_failed_is_listed_with_its_cause_and_run_again(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    email, mails = world.enrolled("signup")
    right = world.environment["HUBLAB_SENDER"]
    world.setenv("HUBLAB_SENDER", "Hublab <hello@unverified.test>")
    assert world.run(mails[0]).is_failed()
    assert retry_failed.main(["--list"]) == 1
    said = capsys.readouterr().out
    assert str(mails[0].name) in said
    assert "not verified" in said
    assert email not in said
    assert retry_failed.main([]) == 0
    with Prefect() as prefect:
        run = prefect.client.read_flow_run(mails[0].id)
    assert run.state.is_scheduled()
    world.setenv("HUBLAB_SENDER", right)
    assert world.run(run).is_completed()
    assert len(world.accepted(email)) == 1
    capsys.readouterr()
    retry_failed.main(["--list"])
    assert str(mails[0].name) not in capsys.readouterr().out
