"""What the services show becomes the record, and whatever is wrong with it is seen."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from e2e import enter, judge, notice, target
from e2e.outside import notion, prefect, resend
from e2e.outside.api import moment
from e2e.outside.notion import Page
from e2e.outside.prefect import Run
from e2e.outside.resend import Sent
from e2e.outside.workspace import Workspace
from e2e.record import Event, Record
from sandbox import env_file
from tests.e2e.letters import TEMPLATE, TERMS, letter

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from e2e.record import Enrolment, Mail

_BEGAN = datetime(2025, 11, 14, 5, 0, tzinfo=UTC)
_MINUTE = 60.0
_TO = "you+e2e-1-signup@example.com"
_TEMPLATES = {
    f"christmas_email_{step}": replace(TEMPLATE, subject=f"letter {step} for {{{{first_name}}}}")
    for step in range(1, 8)
}


def at(seconds: float) -> datetime:
    return _BEGAN + timedelta(seconds=seconds)


class Seen:
    """What the services show of one signup; by default all as it should be."""

    def __init__(self, folder: Path) -> None:
        values = dict.fromkeys(target.NEEDED, "x") | {
            "TESTING_ADDRESS": "you@example.com",
            **dict.fromkeys(("FUNNEL_URL", "HUBLAB_PUBLIC_URL", "PREFECT_API_URL"), "https://x"),
        }
        file = folder / "env"
        env_file.write(file, values)
        self.record = Record("sandbox", _BEGAN, minute=_MINUTE)
        self.record.enrolments = enter.expected(target.load(file, "sandbox"), ["signup"], "e2e-1")
        self.one.posted, self.one.answered = at(1), at(2)
        judge.want(self.record, _TEMPLATES, TERMS)
        to = self.one.to
        steps = range(1, 8)
        self.runs = [Run("handler", to, "", 0, "Completed", "7 mails", at(2), at(3), at(5), 1)]
        self.runs += [
            Run(f"run-{n}", to, "signup", n, "Completed", "", self.due(n), self.due(n), self.due(n), 1) for n in steps
        ]
        self.sent = [
            Sent(f"mail-{n}", (to,), f"letter {n} for Ada", self.due(n) + timedelta(seconds=2), "delivered")
            for n in steps
        ]
        written = {"First Name": "Ada", "Business Name": "Salon & Co", "Segment": "CRITICAL"}
        minute = {n: self.due(n).replace(second=0) for n in steps}
        self.pages = [Page("https://notion/x", to, completed=True, sent=minute, values=written)]

    @property
    def one(self) -> Enrolment:
        return self.record.enrolments[0]

    @staticmethod
    def due(step: int) -> datetime:
        return at(1.5 + _MINUTE * (step - 1))

    def judged(self) -> list[str]:
        """Everything that is found to be wrong, with whose it is."""
        notice.runs(self.record.enrolments, self.runs)
        notice.sent(self.record.enrolments, self.sent, at(500))
        notice.pages(self.record.enrolments, self.pages)
        for mail in self.record.mails:
            if mail.accepted and mail.letter is None:
                mail.letter = letter(mail.to, mail.subject, mail.accepted, mail.resend_id, to=mail.sent_to)
        judge.judge(self.record, _TEMPLATES, TERMS)
        whole = [(mail.name, problem) for mail in self.record.mails for problem in mail.problems]
        return [f"{name}: {problem}" for name, problem in [*whole, *(("signup", text) for text in self.one.problems)]]


@pytest.fixture
def seen(tmp_path: Path) -> Seen:
    return Seen(tmp_path)


def test_all_as_it_should_be(seen: Seen) -> None:
    assert seen.judged() == []
    assert seen.record.passed
    assert [mail.delivered for mail in seen.record.mails] == [at(500)] * 7
    assert seen.one.to == _TO


def test_mail_delivered_keeps_the_first_time_it_was_seen_so(seen: Seen) -> None:
    seen.judged()
    notice.sent(seen.record.enrolments, seen.sent, at(900))
    assert seen.record.mails[0].delivered == at(500)


def other(seen: Seen, step: int, **changed: object) -> None:
    seen.sent[step - 1] = replace(seen.sent[step - 1], **changed)  # type: ignore[arg-type] # of as many types


def rerun(seen: Seen, place: int, **changed: object) -> None:
    seen.runs[place] = replace(seen.runs[place], **changed)  # type: ignore[arg-type] # of as many types


def page(seen: Seen, **changed: object) -> None:
    seen.pages[0] = replace(seen.pages[0], **changed)  # type: ignore[arg-type] # of as many types


FAULTS: dict[str, tuple[Callable[[Seen], object], list[str]]] = {
    "doubled": (
        lambda it: it.sent.append(replace(it.sent[2], id="again")),
        ["signup 3: Resend accepted 2 mails of it."],
    ),
    "subject": (lambda it: other(it, 2, subject="x"), ["signup 2: Its subject is 'x', not 'letter 2 for Ada'."]),
    "stranger": (
        lambda it: it.sent.append(Sent("odd", (it.one.to,), "what?", at(400), "delivered")),
        ["signup 7: Resend accepted 2 mails of it."],
    ),
    "recipient": (
        lambda it: other(it, 2, to=(it.one.to, "else@example.com")),
        [f"signup 2: It went to {_TO}, else@example.com, not to {_TO} alone."],
    ),
    "too late": (lambda it: rerun(it, 3, due=at(140)), ["signup 3: It is scheduled +18.0 s from when it should be.",
                                                       "signup 3: It went out 16.5 s before it was due."]),
    "ten minutes": (lambda it: other(it, 7, accepted=at(361.5 + 594)), [
        "signup 7: It went out 594.0 s after it was due; 60 s at most.",
        "signup 7: Notion says that it was sent at 05:06, Resend at 05:15.",
    ]),
    "too early": (lambda it: rerun(it, 3, due=at(100)), ["signup 3: It is scheduled -22.0 s from when it should be."]),
    "not completed": (lambda it: rerun(it, 3, state="Failed"), ["signup 3: Its run is Failed, not Completed."]),
    "handler": (lambda it: rerun(it, 0, state="Crashed"), ["signup: The handler's run is Crashed, not Completed."]),
    "two handlers": (
        lambda it: it.runs.append(replace(it.runs[0], id="second")),
        ["signup: 2 runs of the handler are at Prefect; one is wanted."],
    ),
    "two runs": (
        lambda it: it.runs.append(replace(it.runs[1], id="second")),
        ["signup: 8 runs of mails are at Prefect; 7 are wanted."],
    ),
    "two pages": (lambda it: it.pages.append(it.pages[0]), ["signup: 2 pages are in Notion; one is wanted."]),
    "not ticked": (
        lambda it: page(it, completed=False),
        ["signup: Its page in Notion does not say that the sequence is completed."],
    ),
    "noted wrongly": (
        lambda it: page(it, sent={**it.pages[0].sent, 2: at(600)}),
        ["signup 2: Notion says that it was sent at 05:10, Resend at 05:01."],
    ),
    "wrong person": (
        lambda it: page(it, values={**it.pages[0].values, "First Name": "Eve"}),
        ["signup: First Name in Notion is 'Eve', not 'Ada'."],
    ),
    "order": (
        lambda it: other(it, 2, accepted=at(125)),
        ["signup: Mail 3 went out before mail 2.", "signup 2: It went out 63.5 s after it was due; 60 s at most."],
    ),
    "message": (
        lambda it: other(it, 1, id="mail-2"),
        ["signup 2: It has the Message-ID of signup 1: <mail-2@resend.test>."],
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_whatever_is_wrong_is_seen(seen: Seen, fault: str) -> None:
    spoil, said = FAULTS[fault]
    spoil(seen)
    found = seen.judged()
    assert set(said) <= set(found), found
    assert len(found) <= len(said) + 1
    assert not seen.record.passed


def test_every_mail_ten_minutes_late_is_seen_of_every_mail(seen: Seen) -> None:
    seen.sent = [replace(one, accepted=one.accepted + timedelta(minutes=9.9)) for one in seen.sent]
    assert sum("s after it was due; 60 s at most." in text for text in seen.judged()) == 7


def test_time_of_a_disturbance_that_was_announced_does_not_count(seen: Seen) -> None:
    other(seen, 2, accepted=at(150))
    page(seen, sent={**seen.pages[0].sent, 2: at(150)})
    seen.record.events = [Event(at(60), "a worker is killed"), Event(at(149), "redeploy ends")]
    assert seen.judged() == []
    seen.record.events[1] = Event(at(80), "redeploy ends")
    assert "signup 2: It went out 70.0 s after it was due; 60 s at most." in seen.judged()


def test_mail_that_cannot_be_seen_is_no_mail_as_it_should_be(seen: Seen) -> None:
    seen.judged()
    seen.record.mails[3].letter = None
    judge.judge(seen.record, _TEMPLATES, TERMS)
    assert seen.record.mails[3].problems == ["What is in it could not be seen at Resend."]
    assert not seen.record.passed


def test_steps_of_one_subject_are_told_apart_by_their_order() -> None:
    def mail(step: int, subject: str) -> Mail:
        from e2e.record import Mail as Made  # noqa: PLC0415 - the name is a type's above

        return Made("signup", step, "x", "you@example.com", wanted_subject=subject)

    def sent(name: str, subject: str) -> Sent:
        return Sent(name, ("you@example.com",), subject, at(1), "sent")

    mails = [mail(1, "hello"), mail(2, "hello"), mail(3, "bye")]
    found = [sent("a", "hello"), sent("b", "hello"), sent("c", "hello"), sent("d", "odd")]
    assert [[one.id for one in place] for place in notice.assigned(mails, found)] == [["a"], ["b", "c"], ["d"]]


def test_mail_without_template_is_named(seen: Seen) -> None:
    assert judge.want(seen.record, {}, TERMS) == [f"christmas_email_{step}" for step in range(1, 8)]


@pytest.mark.parametrize(
    "text",
    ["2025-11-14T05:00:00Z", "2025-11-14 05:00:00.000+00", "2025-11-14T06:00:00+01:00", "2025-11-14T05:00:00"],
)
def test_moments_are_read_as_each_service_writes_them(text: str) -> None:
    assert moment(text) == _BEGAN
    assert moment(None) is None
    assert moment("2025-11-14") == _BEGAN.replace(hour=0)


def test_answers_of_the_services_are_read() -> None:
    run = prefect.parsed(
        {"id": "r", "parameters": {"payload": {"email": "You@example.com"}}, "state_name": "Late", "state": None}
    )
    assert (run.to, run.step, run.state, run.due) == ("you@example.com", 0, "Late", None)
    sent = resend.parsed(
        {"id": "m", "to": "A@b.com", "cc": None, "bcc": ["C@d.com"], "subject": "s", "last_event": None}
        | {"created_at": "2025-11-14 05:00:00+00"}
    )
    assert sent.copied == ("c@d.com",)
    assert (sent.to, sent.event, sent.accepted) == (("a@b.com",), "", _BEGAN)
    there = Workspace()
    found = notion.parsed(
        {
            "id": "0-1",
            "properties": {
                "Email": {"type": "email", "email": "You@example.com"},
                "Segment": {"type": "select", "select": None},
                "First Name": {"type": "rich_text", "rich_text": [{"plain_text": "A"}, {"plain_text": "da"}]},
                "Email 2 Sent": {"type": "date", "date": {"start": "2025-11-14T05:00:00.000+00:00"}},
                "Sequence Completed": {"type": "checkbox", "checkbox": True},
            },
        },
        there,
    )
    unticked = {"id": "0", "properties": {"Sequence Completed": {"type": "checkbox", "checkbox": False}}}
    assert not notion.parsed(unticked, there).completed
    assert found.url == "https://www.notion.so/01"
    assert (found.to, found.completed, found.sent) == ("you@example.com", True, {2: _BEGAN})
    assert (found.values["First Name"], found.values["Segment"]) == ("Ada", "")
