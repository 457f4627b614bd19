"""What goes back to the production before, and what does not. Pure."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from flows.campaigns.model import sequence as find_sequence
from flows.operator.cutover import decide, kept, plan, returning, words
from flows.operator.cutover.facts import Contact, Facts, Mail, OldRun, OurRun, Record
from flows.operator.cutover.stage import Stage

NOW = datetime(2025, 11, 29, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
ADA = "ada@salon.ca"
SIGNUP = find_sequence("christmas", "signup")
KEY = SIGNUP.key(ADA)
SEND, HANDLER = "christmas-send-email", SIGNUP.handler
NAMES = ("email", "email_number", "first_name", "gps_score", "assessment_score", "money_score")
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
        ({"contacts": {ADA: (Contact("c", "", "Booked"),)}}, "a booking is made"),
        ({"contacts": {ADA: (Contact("c", "VIP", ""), Contact("d", "", "Old,  CONFIRMED"))}}, "a booking is made"),
        ({"contacts": {}}, "its contact is not in Notion"),
        ({"records": ()}, "cancelled, completed or gone"),
    ],
)
def test_what_must_not_be_sent_is_not_handed_over(change: dict[str, Any], why: str) -> None:
    facts = world(ours(2), **change)
    (one,) = returning.returns(facts, SCHEMAS)
    assert why in one.keeps
    assert todo(facts) == [("cancel", "ours-2")]


def test_a_booking_that_ends_nothing_here_keeps_nobody() -> None:
    facts = world(ours(2), contacts={ADA: (Contact("c", "", "Cancelled"),)})
    assert [what for what, _ in todo(facts)] == ["hand back", "cancel"]


def test_what_is_retired_here_is_not_given_to_who_does_not_know_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    retired = replace(SIGNUP, retired=("christmas_email_2",))
    monkeypatch.setattr(returning, "all_sequences", lambda: {("christmas", "signup"): retired})
    found = {one.step: one.keeps for one in returning.returns(world(ours(2), ours(3)), SCHEMAS)}
    assert found == {2: "christmas_email_2 is retired from its campaign", 3: ""}


@pytest.mark.parametrize(
    ("contact", "why"), [(Contact("c", "", "Booked"), "booking"), (Contact("c", "bounced", ""), "bounced")]
)
def test_a_signup_that_waits_of_somebody_who_must_get_nothing_is_not_enrolled_by_theirs(
    contact: Contact, why: str
) -> None:
    handler = (KEY, OurRun("handler", "SCHEDULED", "Scheduled", NOW, NOW, NOW, {"payload": {"email": ADA}}))
    call = OldRun(
        "call", ADA, ("christmas", "signup"), 0, NOW, "SCHEDULED", "Scheduled", NOW, {"email": ADA}, "", "ours"
    )
    facts = world(handler, runs=(call,), contacts={ADA: (contact,)})
    assert todo(facts) == [("cancel", "handler")]
    (one,) = returning.calls(facts, SCHEMAS, {HANDLER: "default"})
    assert why in one.keeps
    assert [(each.what, each.at) for each in returning.of(one, facts)] == [("cancel", "call")]


def test_a_no_show_tells_of_a_newer_booking_than_the_contact_shows() -> None:
    noshow = find_sequence("christmas", "noshow")
    key, run = noshow.key(ADA, "u"), OurRun("h", "SCHEDULED", "Scheduled", NOW, NOW, NOW, {"payload": {"email": ADA}})
    facts = world((key, run), contacts={ADA: (Contact("c", "", "Booked"),)})
    (one,) = returning.returns(facts, {noshow.handler: {}})
    assert one.keeps == ""


def test_theirs_cannot_send_a_no_show() -> None:
    (one,) = returning.returns(world(ours(2, sequence="noshow")), SCHEMAS)
    assert "cannot send this sequence" in one.keeps


def test_theirs_cannot_send_what_belongs_to_a_campaign_that_it_never_had(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its mail of that number would be one of Christmas."""
    autumn = replace(SIGNUP, campaign="autumn", name="hello", handler="campaign-enrolment-handler")
    monkeypatch.setattr(returning, "all_sequences", lambda: {("autumn", "hello"): autumn})
    facts = world(ours(2, campaign="autumn", sequence="hello"))
    (one,) = returning.returns(facts, SCHEMAS)
    assert "cannot send this sequence" in one.keeps
    assert todo(facts) == [("cancel", "ours-2")]


def test_what_resend_has_is_marked_and_settled() -> None:
    facts = world(ours(2), mails={ADA: (Mail("m", ADA, "Letter 2", NOW),)})
    assert todo(facts) == [("page", "page-1"), ("settle", "ours-2")]


def test_what_resend_has_and_whose_record_is_thrown_away_is_settled_all_the_same() -> None:
    facts = world(ours(2), mails={ADA: (Mail("m", ADA, "Letter 2", NOW),)}, records=())
    assert todo(facts) == [("settle", "ours-2")]


def test_what_resend_has_accepted_is_out_whatever_its_subject_tells() -> None:
    """Its subject line was edited since; Notion was away, and the run waits to write the mark."""
    key, run = ours(2, name="AwaitingRetry")
    facts = world((key, replace(run, accepted=NOW, frozen=NOW)), mails={ADA: (Mail("m", ADA, "Old words", NOW),)})
    (one,) = returning.returns(facts, SCHEMAS)
    assert one.sent_at == NOW
    assert todo(facts) == [("page", "page-1"), ("settle", "ours-2")]


@pytest.mark.parametrize(
    ("subject", "minutes", "handed"),
    [("Old words", 1, False), ("Old words", -30, True), ("Letter 1", 1, True), ("We missed you", 1, True)],
)
def test_what_was_begun_and_may_be_out_is_not_handed_over(subject: str, minutes: int, *, handed: bool) -> None:
    """Resend's answer was lost, and of a mail since then no subject tells which it is."""
    key, run = ours(2, name="AwaitingRetry")
    there = Mail("m", ADA, subject, NOW + timedelta(minutes=minutes))
    facts = world((key, replace(run, frozen=NOW)), mails={ADA: (there,)})
    facts = replace(facts, subjects=facts.subjects | {"noshow_recovery_email_1": "We missed you"})
    (one,) = returning.returns(facts, SCHEMAS)
    assert ("which may be this mail" in one.keeps) is not handed
    assert [what for what, _ in todo(facts)] == (["hand back", "cancel"] if handed else ["cancel"])


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


def test_what_is_to_be_confirmed_names_its_enrolment_the_first_mail_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    asks = {("christmas", "signup"): replace(SIGNUP, confirm=True)}
    monkeypatch.setattr(returning, "all_sequences", lambda: asks)
    monkeypatch.setattr(decide, "all_sequences", lambda: asks)
    handler = (KEY, OurRun("handler", "SCHEDULED", "Scheduled", NOW, NOW, NOW, {"payload": {"email": ADA}}))
    call = OldRun("call", ADA, ("christmas", "signup"), 0, NOW, "SCHEDULED", "Late", NOW, {"email": ADA}, "", "ours")
    facts = world(handler, runs=(call,))
    found = [*returning.returns(facts, SCHEMAS), *returning.calls(facts, SCHEMAS, {HANDLER: "default"})]
    assert [one.asks for one in found] == [KEY, KEY]
    assert [one.asks for one in returning.returns(world(ours(1), ours(2)), SCHEMAS)] == [KEY, KEY]
    assert [one.asks for one in returning.returns(world(ours(2, confirm=False)), SCHEMAS)] == [""]


def kept_here(number: int, why: str = "a booking is made: Booked", late: timedelta = timedelta()) -> tuple[str, OurRun]:
    """A mail that the way back cancelled and did not hand over."""
    key, run = ours(number, "CANCELLED", "HandedBack")
    due = [one | {"due": (NOW - late).isoformat()} for one in PLAN]
    given = {"enrolment": ENROLMENT | {"plan": due}, "step": number}
    return key, replace(run, parameters=given, message=f"not handed back: {why}" if why else f"back:{key}")


def test_what_was_not_handed_back_is_listed_for_a_person_however_often_it_was_stopped() -> None:
    call = OldRun("c", "Bo@salon.ca", ("christmas", "signup"), 0, NOW, "CANCELLED", "HandedBack", NOW, {})
    call = replace(call, message="not handed back: the contact is bounced")
    facts = world(kept_here(2), kept_here(3, ""), ours(1), runs=(call,), contacts={ADA: (Contact("c", "", "Booked"),)})
    standing = Stage("claimed", None, {}, "default", (), (), ())
    shown = plan.Plan(standing, (), (), {}, 0, tuple(kept.of(facts, returning.returns(facts, {}))))
    said = words.report(shown)
    assert f"{ADA}  christmas/signup  mail 2 was not handed back: a booking is made: Booked\n" in said
    assert "Bo@salon.ca  christmas/signup  a signup was not handed back: the contact is bounced\n" in said
    assert "mail 3" not in said
    assert "the way back would not hand over: 1 × a booking is made: Booked\n" in said
    assert "mail 1 would be not handed back: a booking" in words.report(shown, ADA)
    assert '"number": 2' in words.document(shown)
    assert [one.done for one in kept.of(facts)] == [True, True]


def test_what_was_not_handed_back_is_scheduled_again_when_all_is_taken_over_again() -> None:
    """Who was enrolled by this release has nothing at theirs, from which it could be known."""
    claim = (KEY, OurRun("claim", "COMPLETED", "Completed", NOW, NOW))
    facts = world(claim, kept_here(2), kept_here(3, ""))
    cases, _, todo, _ = plan.decided(facts)
    assert cases == ()
    assert [(one.what, one.at, one.due) for one in todo[""]] == [("revive", "ours-2", NOW)]
    assert plan.decided(world(claim, kept_here(2, late=timedelta(days=8))))[2][""] == []
    assert kept.again(facts, {KEY}) == []
