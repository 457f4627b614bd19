"""What is wrong with what was seen, by the contract. Pure."""

from __future__ import annotations

from datetime import timedelta
from html import escape
from itertools import pairwise
from typing import TYPE_CHECKING

from e2e.contract import filled, names, sequences

if TYPE_CHECKING:
    from collections.abc import Mapping

    from e2e.outside.notion import Template
    from e2e.record import Enrolment, Mail, Record

_NOTED_MOST = timedelta(minutes=2)  # Notion's own times are exact to the minute
_CLOCKS_MOST = 5.0
# Property of the record → the contract's answer, or what follows from it.
_WRITTEN = {"First Name": "first_name", "Business Name": "business_name", "Segment": "segment"}


def judge(record: Record, templates: Mapping[str, Template]) -> None:
    """Find every problem of every mail and enrolment anew."""
    for one in record.enrolments:
        one.problems = _of_enrolment(one)
        for mail in one.mails:
            mail.problems = _of_mail(record, one, mail, templates.get(mail.template))


def _of_enrolment(one: Enrolment) -> list[str]:
    problems = [one.refusal] if one.refusal else []
    if one.handlers > 1:
        problems.append(f"{one.handlers} runs of the handler are at Prefect; one is wanted.")
    if one.handler_id and one.handler_state != "Completed":
        problems.append(f"The handler's run is {one.handler_state}, not Completed.")
    if one.mail_runs > len(one.mails):
        problems.append(f"{one.mail_runs} runs of mails are at Prefect; {len(one.mails)} are wanted.")
    if one.pages > 1:
        problems.append(f"{one.pages} pages are in Notion; one is wanted.")
    if one.page and not one.completed:
        problems.append("Its page in Notion does not say that the sequence is completed.")
    return problems + _of_order(one) + _of_page(one)


def _of_order(one: Enrolment) -> list[str]:
    """Mails that were overtaken. Where one began only when the next was due as well, nothing orders the two."""
    return [
        f"Mail {later.step} went out before mail {earlier.step}."
        for earlier, later in pairwise(one.mails)
        if earlier.accepted and later.accepted and later.accepted < earlier.accepted
        if earlier.started and later.due and earlier.started < later.due
    ]


def _of_page(one: Enrolment) -> list[str]:
    if not one.page:
        return []
    wanted = sequences()[one.sequence].variables(one.to)
    return [
        f"{name} in Notion is {one.written.get(name, '')!r}, not {wanted[answer]!r}."
        for name, answer in _WRITTEN.items()
        if answer in wanted and one.written.get(name, "") != wanted[answer]
    ]


def _of_mail(record: Record, one: Enrolment, mail: Mail, template: Template | None) -> list[str]:
    problems = _of_run(record, one, mail)
    if mail.copies > 1:
        problems.append(f"Resend accepted {mail.copies} mails of it.")
    if mail.accepted is None:
        return problems
    if mail.sent_to != (mail.to,):
        problems.append(f"It went to {', '.join(mail.sent_to)}, not to {mail.to} alone.")
    if mail.subject != mail.wanted_subject:
        problems.append(f"Its subject is {mail.subject!r}, not {mail.wanted_subject!r}.")
    if mail.due and mail.accepted < mail.due - timedelta(seconds=_slack(record)):
        problems.append(f"It went out {(mail.due - mail.accepted).total_seconds():.1f} s before it was due.")
    if mail.noted and abs(mail.noted - mail.accepted) > _NOTED_MOST:
        problems.append(f"Notion says that it was sent at {mail.noted:%H:%M}, Resend at {mail.accepted:%H:%M}.")
    return problems + _of_content(mail, template)


def _of_run(record: Record, one: Enrolment, mail: Mail) -> list[str]:
    problems = [f"Its run is {mail.state}, not Completed."] if mail.accepted and mail.state != "Completed" else []
    if mail.due and one.posted and one.answered:
        after = sequences()[mail.sequence].after(mail.step, record.minute)
        early, late = (mail.due - one.posted - after), (mail.due - one.answered - after)
        if early.total_seconds() < -_slack(record) or late.total_seconds() > _slack(record):
            problems.append(f"It is scheduled {late.total_seconds():+.1f} s from when it should be.")
    return problems


def _slack(record: Record) -> float:
    """How far the clocks of the machines may be apart, in seconds: never so far that steps could be confused."""
    return min(_CLOCKS_MOST, record.minute / 4)


def _of_content(mail: Mail, template: Template | None) -> list[str]:
    problems = [f"{{{{{name}}}}} was not filled in." for name in sorted(names(mail.subject + mail.html))]
    if template is None or not mail.html:
        return [*problems, *([] if mail.html else ["It has no HTML part."])]
    values = sequences()[mail.sequence].variables(mail.to)
    return problems + [
        f"{name} is {values[name]!r}, and its text does not have that."
        for name in sorted(names(template.html) & values.keys())
        if not any(form in mail.html for form in _forms(values[name]))
    ]


def _forms(value: str) -> set[str]:
    """How a value may read in HTML, and a number with and without its fraction."""
    return {escape(value), escape(value, quote=False), value}


def want(record: Record, templates: Mapping[str, Template]) -> list[str]:
    """Write the wanted subject of every mail; the names of the templates that are not there."""
    for mail in record.mails:
        if template := templates.get(mail.template):
            values = sequences()[mail.sequence].variables(mail.to)
            mail.wanted_subject = filled(template.subject, values)
    return [mail.template for mail in record.mails if mail.template not in templates]
