"""What goes back to the production before, and what does not. Pure."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from flows.campaigns.model import sequence as find_sequence
from flows.operator.cutover import returning
from flows.operator.cutover.facts import Contact, Facts, Mail, OldRun, OurRun, Record

NOW = datetime(2025, 11, 29, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
ADA = "ada@salon.ca"
SIGNUP = find_sequence("christmas", "signup")
KEY = SIGNUP.key(ADA)
SEND, HANDLER = "christmas-send-email", SIGNUP.handler
NAMES = ("email", "email_number", "first_name", "gps_score", "assessment_score")
SCHEMAS: dict[str, Any] = {
    SEND: {"properties": {name: {"type": "integer"} for name in NAMES}},
    HANDLER: {"properties": {"email": {}, "first_name": {}}},
}
PLAN = [{"number": n, "template": f"christmas_email_{n}", "due": (NOW + n * HOUR).isoformat()} for n in (1, 2, 3)]
ENROLMENT: dict[str, Any] = {
    "key": KEY, "campaign": "christmas", "sequence": "signup", "email": ADA, "page": "page-1", "plan": PLAN,
    "variables": {"first_name": "Ada", "gps_score": 40.0, "assessment_score": 52.5, "unknown": 1, "money_score": None},
}  # fmt: skip


def ours(step: int, state: str = "SCHEDULED", name: str = "", **more: Any) -> tuple[str, OurRun]:
    due = NOW + step * HOUR
    given = {"enrolment": ENROLMENT | more, "step": step}
    return f"{KEY}:{step}", OurRun(f"ours-{step}", state, name or state.title(), NOW, NOW, due, given)


def world(*runs: tuple[str, OurRun], **more: Any) -> Facts:
    page = Record("page-1", ADA, KEY, "Christmas 2025", "", NOW, {}, {}, linked=True)
    base = Facts(NOW, (), (page,), {ADA: (Contact("c", "Nurture Sequence", ""),)}, {}, NOW, dict(runs))
    return replace(base, subjects={f"christmas_email_{n}": f"Letter {n}" for n in (1, 2, 3)}, **more)


def todo(facts: Facts) -> list[tuple[str, str]]:
    found = returning.returns(facts, SCHEMAS)
    return [(one.what, one.at) for each in found for one in returning.of(each, facts)]


def test_a_mail_goes_back_as_theirs_takes_it_and_theirs_is_there_before_ours_goes() -> None:
    facts = world(ours(2))
    assert todo(facts) == [("hand back", f"back:{KEY}:2"), ("cancel", "ours-2")]
    (one,) = returning.returns(facts, SCHEMAS)
    assert one.flat == {"email": ADA, "email_number": 2, "first_name": "Ada", "gps_score": 40, "assessment_score": 52}
    assert one.due == NOW + 2 * HOUR


def test_one_that_was_handed_back_before_is_scheduled_again() -> None:
    there = OldRun("flat", ADA, ("christmas", "signup"), 2, NOW, "CANCELLED", "TakenOver", NOW, {}, f"back:{KEY}:2")
    assert todo(world(ours(2), runs=(there,))) == [("revive", "flat"), ("cancel", "ours-2")]
    assert todo(world(ours(2), runs=(replace(there, state="SCHEDULED", state_name="Scheduled"),))) == [
        ("cancel", "ours-2")
    ]


@pytest.mark.parametrize("state", ["COMPLETED", "CANCELLED", "RUNNING"])
def test_what_is_done_or_in_a_workers_hands_stays(state: str) -> None:
    assert todo(world(ours(2, state))) == []


def test_what_crashed_under_their_deployment_goes_back_too_and_what_failed_long_ago_does_not() -> None:
    assert [what for what, _ in todo(world(ours(2, "CRASHED")))] == ["hand back", "cancel"]
    assert todo(replace(world(ours(2, "CRASHED")), now=NOW + 100 * HOUR)) == []


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"contacts": {ADA: (Contact("c", "Unsubscribed", ""),)}}, "unsubscribed"),
        ({"contacts": {ADA: (Contact("c", "VIP, unsubscribed ", ""),)}}, "unsubscribed"),
        ({"contacts": {ADA: (Contact("c", "", ""), Contact("d", "COMPLAINED", ""))}}, "complained"),
        ({"records": ()}, "cancelled, completed or gone"),
    ],
)
def test_what_must_not_be_sent_is_not_handed_over(change: dict[str, Any], why: str) -> None:
    facts = world(ours(2), **change)
    (one,) = returning.returns(facts, SCHEMAS)
    assert why in one.keeps
    assert todo(facts) == [("cancel", "ours-2")]


def test_theirs_cannot_send_a_no_show() -> None:
    (one,) = returning.returns(world(ours(2, sequence="noshow")), SCHEMAS)
    assert "cannot send this sequence" in one.keeps


def test_what_resend_has_is_marked_and_settled() -> None:
    facts = world(ours(2), mails={ADA: (Mail("m", ADA, "Letter 2", NOW),)})
    assert todo(facts) == [("page", "page-1"), ("settle", "ours-2")]


def test_an_enrolment_that_had_begun_gives_back_the_mails_that_it_did_not_come_to() -> None:
    handler = (KEY, OurRun("handler", "CRASHED", "Crashed", NOW, NOW, NOW, {"payload": {"email": ADA}}))
    assert todo(world(handler, ours(1))) == [
        ("hand back", f"back:{KEY}:2"),
        ("hand back", f"back:{KEY}:3"),
        ("cancel", "handler"),
        ("hand back", f"back:{KEY}:1"),
        ("cancel", "ours-1"),
    ]
    assert todo(world(handler)) == [("hand back", f"back:{KEY}"), ("cancel", "handler")]


def test_a_call_of_the_website_that_waits_in_our_pool_goes_to_theirs() -> None:
    call = OldRun(
        "call", "Bo@salon.ca", ("christmas", "signup"), 0, NOW, "SCHEDULED", "Scheduled", NOW,
        {"email": "Bo@salon.ca", "utm_source": "ad"}, "", "ours",
    )  # fmt: skip

    def found(run: OldRun) -> list[tuple[str, dict[str, Any]]]:
        facts = world(runs=(run,))
        calls = returning.calls(facts, SCHEMAS, {HANDLER: "default"})
        return [(one.at, one.values) for each in calls for one in returning.of(each, facts)]

    assert found(call) == [("back:call", {"email": "Bo@salon.ca"}), ("call", {})]
    assert found(replace(call, pool="default")) == []
    assert [at for at, _ in found(replace(call, state="CRASHED"))] == ["back:call", "call"]
    assert found(replace(call, state="COMPLETED")) == []
    assert found(replace(call, state="CRASHED", email=ADA, parameters={"email": ADA})) == []
