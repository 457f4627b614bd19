"""The ways in: the form in a browser for one sequence, the webhooks for the others."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from e2e import form, webhooks
from e2e.browser import Album
from e2e.contract import sequences
from e2e.record import Enrolment, Mail

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from playwright.sync_api import Browser

    from e2e.record import Record
    from e2e.target import Target

BY_FORM = "signup"


def expected(target: Target, names: Iterable[str], tag: str) -> list[Enrolment]:
    """The enrolments of a run that is to begin, with the mails that each must bring; nothing has happened yet."""
    found = []
    for name in names:
        to = target.address(f"{tag}-{name}")
        mails = [Mail(name, step, template, to) for step, template in enumerate(sequences()[name].templates, 1)]
        found.append(Enrolment(name, to, "form" if name == BY_FORM else "webhook", mails=mails))
    return found


def enter(target: Target, record: Record, browser: Browser, folder: Path) -> None:
    """Enrol each; what is refused is written down with the hop that refused it."""
    for one in record.enrolments:
        if one.entry == "form":
            _by_form(target, record, one, browser, folder)
        else:
            _by_webhook(target, one)
        for mail in one.mails:
            if one.posted:
                mail.wanted_due = one.posted + sequences()[one.sequence].after(mail.step, record.minute)


def _by_form(target: Target, record: Record, one: Enrolment, browser: Browser, folder: Path) -> None:
    answers = sequences()[one.sequence].answers | {"email": one.to}
    album = Album(folder)
    seen = form.visit(browser, target["FUNNEL_URL"], answers, album)
    record.pictures |= album.pictures
    one.posted, one.answered = seen.posted, seen.answered
    if seen.refusal:
        # A page that cannot reach the webhooks says so in its own words: whose fault it is, the webhooks tell.
        trouble = webhooks.health(target).trouble
        one.refused_at = "webhook" if trouble else "form"
        one.refusal = f"The form was not taken: {'; '.join([seen.refusal, *trouble])}."


def _by_webhook(target: Target, one: Enrolment) -> None:
    one.posted = datetime.now(UTC)
    if refusal := webhooks.post(target, sequences()[one.sequence], one.to):
        one.refused_at, one.refusal = "webhook", f"{refusal}."
    else:
        one.answered = datetime.now(UTC)
