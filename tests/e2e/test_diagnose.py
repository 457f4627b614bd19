"""A lost mail ends with the hop that lost it, whichever it is; and one that is only late is waited for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from e2e import diagnose
from e2e.record import HOPS, Enrolment, Mail, Record

if TYPE_CHECKING:
    from collections.abc import Callable

_BEGAN = datetime(2025, 11, 14, 5, 0, tzinfo=UTC)
_PATIENCE = 60.0


def at(seconds: float) -> datetime:
    return _BEGAN + timedelta(seconds=seconds)


def mail(step: int) -> Mail:
    due = 10 + 60 * step
    return Mail(
        "noshow", step, f"noshow_recovery_email_{step}", "you+x@example.com",
        due=at(due), started=at(due + 1), ended=at(due + 4), run_id=f"run-{step}", state="Completed", runs=1,
        accepted=at(due + 3), delivered=at(due + 5), event="delivered", copies=1, noted=at(due + 3),
    )  # fmt: skip


def record() -> Record:
    """Three mails that all arrived."""
    one = Enrolment(
        "noshow", "you+x@example.com", "webhook",
        posted=at(1), answered=at(2), handler_id="handler", handler_state="Completed", handlers=1, mail_runs=3,
        handler_started=at(4), handler_ended=at(6), pages=1, page="https://www.notion.so/x", completed=True,
        mails=[mail(1), mail(2), mail(3)],
    )  # fmt: skip
    return Record("sandbox", _BEGAN, enrolments=[one])


def refused(hop: str) -> Callable[[Enrolment], None]:
    def spoil(one: Enrolment) -> None:
        one.refused_at, one.refusal = hop, "It was not taken."
        _nothing(one)

    return spoil


def in_no_mailbox(one: Enrolment) -> None:
    one.mails[1].arrivals = 0


def _nothing(one: Enrolment) -> None:
    """After this hop, nothing was ever seen."""
    one.handler_id = one.handler_state = one.page = ""
    one.handler_started = one.handler_ended = None
    one.handlers = one.mail_runs = one.pages = 0
    for each in one.mails:
        _no_run(each)


def _no_run(each: Mail) -> None:
    each.run_id = each.state = ""
    each.due = None
    _not_started(each)


def _not_started(each: Mail) -> None:
    each.started, each.runs = None, 0
    _not_accepted(each)


def _not_accepted(each: Mail) -> None:
    each.ended = each.accepted = each.delivered = each.noted = None
    each.event, each.copies = "", 0


def handler(state: str, reason: str = "", *, started: bool = True) -> Callable[[Enrolment], None]:
    def spoil(one: Enrolment) -> None:
        before = one.handler_started
        _nothing(one)
        one.handler_id, one.handler_state, one.reason = "handler", state, reason
        one.handler_started = before if started else None

    return spoil


def second(state: str, reason: str = "", *, started: bool = True) -> Callable[[Enrolment], None]:
    def spoil(one: Enrolment) -> None:
        two = one.mails[1]
        (_not_accepted if started else _not_started)(two)
        two.state, two.reason, one.completed = state, reason, False
        two.ended = at(140) if state in {"Completed", "Failed", "Crashed"} else None

    return spoil


def unscheduled(one: Enrolment) -> None:
    _no_run(one.mails[1])
    one.completed = False


def last_event(event: str) -> Callable[[Enrolment], None]:
    def spoil(one: Enrolment) -> None:
        one.mails[1].event, one.mails[1].delivered = event, None

    return spoil


def not_noted(one: Enrolment) -> None:
    one.mails[1].noted, one.completed = None, False


def not_noted_for_a_reason(one: Enrolment) -> None:
    not_noted(one)
    one.mails[1].state, one.mails[1].reason = "AwaitingRetry", "postponed: pages.update: 503"


def not_completed(one: Enrolment) -> None:
    one.completed = False


# What is broken → the hop, which mails, and words that its sentence must have.
FAULTS: dict[str, tuple[Callable[[Enrolment], None], str, str, str]] = {
    "page refuses": (refused("form"), "form", "1 to 3", "not taken"),
    "webhook refuses": (refused("webhook"), "webhook", "1 to 3", "not taken"),
    "nothing at Prefect": (_nothing, "webhook", "1 to 3", "no run of its handler"),
    "nobody runs the handler": (handler("Late", started=False), "worker", "1 to 3", "is Late"),
    "handler fails": (handler("Failed", "ValueError: no"), "handler", "1 to 3", "ValueError: no"),
    "handler hangs": (handler("Running"), "handler", "1 to 3", "is Running"),
    "handler skips": (handler("Skipped", "not enrolled: unsubscribed"), "handler", "1 to 3", "unsubscribed"),
    "handler without Notion": (handler("AwaitingRetry", "postponed: query: 503"), "Notion", "1 to 3", "query: 503"),
    "mail not scheduled": (unscheduled, "schedule", "2", "no run of this mail"),
    "mail not started": (second("Late", started=False), "worker", "2", "is Late"),
    "mail pending": (second("Pending", started=False), "worker", "2", "is Pending"),
    "mail's run hangs": (second("Running"), "worker", "2", "is Running"),
    "mail's run crashed": (second("Crashed", "no heartbeat for 90 s"), "worker", "2", "no heartbeat"),
    "mail's run failed": (second("Failed", "ZeroDivisionError"), "worker", "2", "ZeroDivisionError"),
    "mail cancelled": (second("Cancelled", started=False), "worker", "2", "is Cancelled"),
    "template is gone": (second("Failed", "UnusableTemplateError: template 'x'"), "Notion", "2", "template 'x'"),
    "Notion is away": (second("AwaitingRetry", "postponed: pages.update: 503"), "Notion", "2", "pages.update"),
    "Resend is away": (second("AwaitingRetry", "postponed: send: 500 application_error"), "Resend", "2", "send: 500"),
    "Resend refuses": (second("Failed", "ResendFailedError: send: 422"), "Resend", "2", "422"),
    "Resend has nothing": (second("Completed"), "Resend", "2", "lists no mail of it"),
    "bounced": (last_event("bounced"), "delivery", "2", "bounced"),
    "not in the mailbox": (in_no_mailbox, "mailbox", "2", "the mailbox does not hold it"),
    "not delivered": (last_event("sent"), "delivery", "2", "'sent'"),
    "not written down": (not_noted, "Notion", "2", "'Email 2 Sent' is empty"),
    "not written down, since": (not_noted_for_a_reason, "Notion", "2", "AwaitingRetry (postponed: pages.update: 503)"),
    "not completed": (not_completed, "Notion", "3", "not completed"),
}  # fmt: skip


def test_when_all_arrived_there_is_nothing_to_say() -> None:
    whole = record()
    assert diagnose.settled(whole, at(191), _PATIENCE)
    assert diagnose.diagnose(whole, {}) == []
    assert whole.passed


@pytest.mark.parametrize("fault", FAULTS)
def test_the_hop_is_named(fault: str) -> None:
    spoil, hop, steps, words = FAULTS[fault]
    whole = record()
    spoil(whole.enrolments[0])
    facts = {name: [f"known of {name}"] for name in HOPS}
    found = diagnose.diagnose(whole, facts)
    assert len(found) == 1
    assert found[0].startswith(f"noshow {steps}: lost at the hop “{hop}”: ")
    assert words in found[0]
    assert found[0].endswith(f" There: known of {hop}.")
    lost = {each.step for each in whole.mails if each.lost_at}
    assert lost == (set(range(1, 4)) if steps == "1 to 3" else {int(steps)})
    assert {each.lost_at for each in whole.mails if each.lost_at} == {hop}
    assert diagnose.settled(whole, at(1000), _PATIENCE)
    whole.diagnosis = found
    assert not whole.passed


def test_every_hop_can_be_the_one() -> None:
    assert {hop for _, hop, _, _ in FAULTS.values()} == set(HOPS)


@pytest.mark.parametrize(
    ("fault", "since"),
    [("nothing at Prefect", 2), ("mail not scheduled", 6), ("mail not started", 130), ("mail's run hangs", 131),
     ("Resend has nothing", 140), ("not delivered", 133), ("not written down", 133), ("not completed", 193)],
)  # fmt: skip
def test_patience_is_counted_from_when_the_hop_could_be_passed(fault: str, since: float) -> None:
    whole = record()
    FAULTS[fault][0](whole.enrolments[0])
    assert not diagnose.settled(whole, at(since + _PATIENCE - 1), _PATIENCE)
    assert diagnose.settled(whole, at(since + _PATIENCE + 1), _PATIENCE)


def test_what_is_not_due_yet_is_waited_for_however_long() -> None:
    whole = record()
    _not_started(whole.mails[2])
    whole.mails[2].state, whole.enrolments[0].completed = "Scheduled", False
    assert not diagnose.settled(whole, at(189), 1)
    assert diagnose.settled(whole, at(192), 1)


def test_what_nobody_can_tell_the_age_of_is_not_waited_for_for_ever() -> None:
    whole = record()
    FAULTS["Resend has nothing"][0](whole.enrolments[0])
    whole.mails[1].ended = None
    assert diagnose.settled(whole, at(200), 100_000)


@pytest.mark.parametrize("fault", ["page refuses", "handler fails", "handler skips", "bounced", "mail cancelled"])
def test_what_is_lost_for_certain_is_not_waited_for(fault: str) -> None:
    whole = record()
    FAULTS[fault][0](whole.enrolments[0])
    assert diagnose.settled(whole, at(200), 100_000)
