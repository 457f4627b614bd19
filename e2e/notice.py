"""What the services show, put into the record. Pure."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from e2e.record import ARRIVED

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from e2e.outside.mailbox import Arrived
    from e2e.outside.notion import Page
    from e2e.outside.prefect import Run
    from e2e.outside.resend import Sent
    from e2e.record import Enrolment, Mail


def runs(enrolments: Iterable[Enrolment], found: Iterable[Run]) -> None:
    """Put Prefect's runs where they belong; those of other addresses are nobody's here."""
    by_address = defaultdict[str, list["Run"]](list)
    for run in found:
        by_address[run.to].append(run)
    for one in enrolments:
        mine = by_address[one.to]
        handlers = [run for run in mine if not run.step]
        one.handlers, one.mail_runs = len(handlers), len(mine) - len(handlers)
        if handlers:
            _handler(one, handlers[0])
        for mail in one.mails:
            of_step = [run for run in mine if run.step == mail.step]
            if of_step:
                _run(mail, of_step[0])


def _handler(one: Enrolment, run: Run) -> None:
    one.handler_id, one.handler_state, one.reason = run.id, run.state, run.reason
    one.handler_started, one.handler_ended = run.started, run.ended


def _run(mail: Mail, run: Run) -> None:
    mail.run_id, mail.state, mail.reason, mail.runs = run.id, run.state, run.reason, run.count
    mail.due, mail.started, mail.ended = run.due, run.started, run.ended


def pages(enrolments: Iterable[Enrolment], found: Iterable[Page]) -> None:
    """Put Notion's pages where they belong."""
    by_address = defaultdict[str, list["Page"]](list)
    for page in found:
        by_address[page.to].append(page)
    for one in enrolments:
        mine = by_address[one.to]
        one.pages = len(mine)
        if not mine:
            continue
        one.page, one.completed, one.written = mine[0].url, mine[0].completed, mine[0].values
        for mail in one.mails:
            mail.noted = mine[0].sent.get(mail.step)


def sent(enrolments: Iterable[Enrolment], found: Sequence[Sent], now: datetime) -> None:
    """Put Resend's mails where they belong; `now` is when Resend was asked."""
    for one in enrolments:
        mine = [mail for mail in found if one.to in mail.to]
        for mail, copies in zip(one.mails, assigned(one.mails, mine), strict=True):
            mail.copies = len(copies)
            if copies:
                _sent(mail, copies[0], now)


def _sent(mail: Mail, seen: Sent, now: datetime) -> None:
    mail.resend_id, mail.subject, mail.sent_to = seen.id, seen.subject, seen.to
    mail.accepted, mail.event = seen.accepted, seen.event
    if seen.event in ARRIVED and mail.delivered is None:
        mail.delivered = now


def arrived(enrolments: Iterable[Enrolment], found: Sequence[Arrived]) -> None:
    """Put what the mailbox holds where it belongs."""
    for one in enrolments:
        mine = [mail for mail in found if one.to in mail.to]
        for mail, copies in zip(one.mails, assigned(one.mails, mine), strict=True):
            mail.arrivals = len(copies)
            if copies:
                mail.arrived, mail.spam, mail.received = copies[0].at, copies[0].spam, copies[0].letter


def assigned[Seen: (Sent, Arrived)](mails: Sequence[Mail], found: Sequence[Seen]) -> list[list[Seen]]:
    """Which mails that were seen, in the order of their time, are which step's.

    By its subject. Where several steps have the same subject, in their order. One whose subject no step has belongs to
    the first step that has none yet, since it may be that step's with a wrong subject; otherwise to the last.
    """
    places: list[list[Seen]] = [[] for _ in mails]
    unexplained = []
    for one in found:
        same = [index for index, mail in enumerate(mails) if mail.wanted_subject == one.subject]
        if same:
            places[next((index for index in same if not places[index]), same[-1])].append(one)
        else:
            unexplained.append(one)
    for one in unexplained:
        places[next((index for index, place in enumerate(places) if not place), len(places) - 1)].append(one)
    return places
