"""What was seen from outside, mail by mail: the one structure that the verdict, the diagnosis and the report read."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from e2e.letter import Letter

# The way of a mail, in order. A lost one is named by the first hop that it did not pass.
HOPS = ("form", "webhook", "handler", "schedule", "worker", "Resend", "delivery", "mailbox", "Notion")


@dataclass
class Mail:
    """One mail of a sequence.

    Attributes:
        sequence: `signup`, `noshow`, `postcall` or `onboarding`.
        step: Its number in the sequence, from 1.
        template: Its template's name in Notion.
        to: The address that it must go to.
        wanted_subject: The template's subject line, its variables filled in.
        wanted_due: When it should go out, by the contract.
        due: When Prefect has its run scheduled for; None while there is no run.
        started: When a worker started its run.
        ended: When its run reached an end.
        run_id: Its flow run at Prefect.
        state: The name of the run's state (`Completed`, `Skipped`, `Crashed` …); empty while there is no run.
        reason: What the state says, such as an error.
        runs: How many times the run was started.
        accepted: When Resend accepted it.
        delivered: When it was first seen as delivered; exact to the pause between two looks.
        event: Resend's last event of it.
        copies: How many mails of it Resend has accepted.
        resend_id: Its id at Resend.
        subject: The subject as it was sent.
        sent_to: The recipients as it was sent.
        letter: All of it, as Resend took it.
        arrivals: How many of it the mailbox holds; None where no mailbox is looked into.
        arrived: When the mailbox's server took it, exact to the second.
        spam: The folder in which it lies there, if that is one for spam; empty otherwise.
        received: All of it, as the mailbox holds it.
        noted: The value of `Email n Sent` in Notion, exact to the minute.
        problems: What is wrong with it, in sentences; empty when all is well.
        lost_at: The hop, one of `HOPS`, that it did not pass; empty when it passed all.
        pictures: Way of showing it (light, dark, narrow) → a screenshot of the mail.
    """

    sequence: str
    step: int
    template: str
    to: str
    wanted_subject: str = ""
    wanted_due: datetime | None = None
    due: datetime | None = None
    started: datetime | None = None
    ended: datetime | None = None
    run_id: str = ""
    state: str = ""
    reason: str = ""
    runs: int = 0
    accepted: datetime | None = None
    delivered: datetime | None = None
    event: str = ""
    copies: int = 0
    resend_id: str = ""
    subject: str = ""
    sent_to: tuple[str, ...] = ()
    letter: Letter | None = None
    arrivals: int | None = None
    arrived: datetime | None = None
    spam: str = ""
    received: Letter | None = None
    noted: datetime | None = None
    problems: list[str] = field(default_factory=list)
    lost_at: str = ""
    pictures: dict[str, Path] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """`signup 3`."""
        return f"{self.sequence} {self.step}"

    @property
    def html(self) -> str:
        """The body as its reader gets it, or else as it was sent; empty while there is none."""
        letter = self.received or self.letter
        return letter.html if letter else ""

    @property
    def headers(self) -> list[tuple[str, str]]:
        """Its headers as the mailbox holds them, in order; none where no mailbox was looked into."""
        found = (self.received.headers if self.received else None) or {}
        return [(name, value) for name, values in found.items() for value in values]

    @property
    def in_mailbox(self) -> bool:
        """Whether it lies in the mailbox; where none is looked into, whether Resend says that it was delivered."""
        return self.event in ARRIVED and self.arrivals != 0


@dataclass
class Enrolment:
    """One contact in one sequence.

    Attributes:
        sequence: As `Mail.sequence`.
        to: The contact's address.
        entry: How it got in: `form` (the browser) or `webhook`.
        posted: When the form or the webhook was sent.
        answered: When it was accepted.
        handler_id: The handler's flow run at Prefect.
        handler_state: The name of that run's state.
        handler_started: When a worker started it.
        handler_ended: When it ended.
        reason: What the handler's state says.
        refused_at: The hop that refused it, `form` or `webhook`; empty when it got in.
        refusal: How it was refused.
        handlers: How many runs of the handler there are.
        mail_runs: How many runs of mails there are.
        pages: How many pages of it there are in Notion.
        written: Those properties of the page that the contract speaks of, as text.
        page: The address of the enrolment's page in Notion; empty while there is none.
        completed: Whether the page says `Sequence Completed`.
        problems: As `Mail.problems`.
        mails: The mails that it must bring, in order.
    """

    sequence: str
    to: str
    entry: str
    posted: datetime | None = None
    answered: datetime | None = None
    handler_id: str = ""
    handler_state: str = ""
    handler_started: datetime | None = None
    handler_ended: datetime | None = None
    reason: str = ""
    refused_at: str = ""
    refusal: str = ""
    handlers: int = 0
    mail_runs: int = 0
    pages: int = 0
    written: dict[str, str] = field(default_factory=dict)
    page: str = ""
    completed: bool = False
    problems: list[str] = field(default_factory=list)
    mails: list[Mail] = field(default_factory=list)


@dataclass(frozen=True)
class Event:
    """Something that was done to the system in the midst of it: a redeploy, a kill."""

    at: datetime
    what: str


@dataclass
class Record:
    """One whole run.

    Attributes:
        against: `sandbox` or `production`.
        began: When it began.
        ended: When it ended.
        minute: How many seconds a minute of testing mode lasted.
        mailbox: Which mailbox was looked into; empty where delivery is Resend's word.
        latest: How many seconds after it is due a mail may be accepted, outside of a disturbance.
        enrolments: What was followed.
        events: What was done meanwhile.
        versions: Name → version, of everything that took part; `release` is the workers'.
        links: Name → address, of where more can be seen.
        pictures: Title → screenshot of the form, in the order in which they were taken.
        diagnosis: Which hop lost what, in sentences; empty when all is well.
    """

    against: str
    began: datetime
    ended: datetime | None = None
    minute: float = 60.0
    mailbox: str = ""
    latest: float = 60.0
    enrolments: list[Enrolment] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    pictures: dict[str, Path] = field(default_factory=dict)
    diagnosis: list[str] = field(default_factory=list)

    @property
    def mails(self) -> list[Mail]:
        """Every mail, in the order of the enrolments."""
        return [mail for enrolment in self.enrolments for mail in enrolment.mails]

    @property
    def delivered(self) -> int:
        """How many mails arrived, once, as they should be."""
        return sum(mail.in_mailbox and not mail.problems for mail in self.mails)

    @property
    def passed(self) -> bool:
        """Whether every mail arrived once, as it should, and every enrolment is recorded as it should be."""
        whole = bool(self.mails) and self.delivered == len(self.mails)
        return whole and not self.diagnosis and not any(one.problems for one in self.enrolments)

    @property
    def verdict(self) -> str:
        """The outcome in one line."""
        where = "in the mailbox" if self.mailbox else "delivered by Resend's word"
        what = f"{self.delivered} of {len(self.mails)} mails {where}, each once"
        lost = len(self.mails) - self.delivered + sum(bool(one.problems) for one in self.enrolments)
        wrong = lost or len(self.diagnosis)
        return f"{what}: all as it should be" if self.passed else f"{what}; {wrong} with something wrong"


# Events after which a mail is in the mailbox, by Resend's word.
ARRIVED = frozenset({"delivered", "opened", "clicked"})
