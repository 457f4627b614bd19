"""What is wrong with what was seen, by the contract. Pure."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise
from typing import TYPE_CHECKING

from e2e import content
from e2e.contract import Terms, sequences
from e2e.letter import authenticated

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from e2e.outside.notion import Template
    from e2e.record import Enrolment, Mail, Record

_NOTED_MOST = timedelta(minutes=2)  # Notion's own times are exact to the minute
_CLOCKS_MOST = 5.0
# Property of the record, where the workspace has it → the contract's answer, or what follows from it.
_WRITTEN = {"First Name": "first_name", "Business Name": "business_name", "Segment": "segment"}


def judge(record: Record, templates: Mapping[str, Template], terms: Terms) -> None:
    """Find every problem of every mail and enrolment anew."""
    for one in record.enrolments:
        one.problems = _of_enrolment(record, one)
        for mail in one.mails:
            template = templates.get(mail.template)
            mail.problems = [*_of_mail(record, one, mail), *_of_letter(mail, template, terms)]
            mail.problems += _of_arrival(mail, template, terms)
    for number, mails in _by_message(record).items():
        for mail in mails[1:]:
            mail.problems.append(f"It has the Message-ID of {mails[0].name}: {number}.")


def _by_message(record: Record) -> dict[str, list[Mail]]:
    found: dict[str, list[Mail]] = {}
    for mail in record.mails:
        if mail.letter and mail.letter.message_id:
            found.setdefault(mail.letter.message_id, []).append(mail)
    return found


def _of_enrolment(record: Record, one: Enrolment) -> list[str]:
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
    return problems + _of_order(record, one) + _of_page(one)


def _of_order(record: Record, one: Enrolment) -> list[str]:
    """Mails that were overtaken. What waited through a disturbance, nothing orders in testing mode."""
    return [
        f"Mail {later.step} went out before mail {earlier.step}."
        for earlier, later in pairwise(one.mails)
        if earlier.accepted and later.accepted and later.accepted < earlier.accepted
        if not (earlier.due and _disturbed(record, earlier.due, earlier.accepted))
    ]


def _of_page(one: Enrolment) -> list[str]:
    if not one.page:
        return []
    wanted = sequences()[one.sequence].variables(one.to)
    return [
        f"{name} in Notion is {one.written[name]!r}, not {wanted[answer]!r}."
        for name, answer in _WRITTEN.items()
        if answer in wanted and name in one.written and one.written[name] != wanted[answer]
    ]


def _of_mail(record: Record, one: Enrolment, mail: Mail) -> list[str]:
    problems = _of_run(record, one, mail)
    if mail.copies > 1:
        problems.append(f"Resend accepted {mail.copies} mails of it.")
    if mail.accepted is None:
        return problems
    if mail.due and mail.accepted < mail.due - timedelta(seconds=_slack(record)):
        problems.append(f"It went out {(mail.due - mail.accepted).total_seconds():.1f} s before it was due.")
    if mail.due and (late := _late(record, mail.due, mail.accepted)) > record.latest:
        problems.append(f"It went out {late:.1f} s after it was due; {record.latest:g} s at most.")
    if mail.noted and abs(mail.noted - mail.accepted) > _NOTED_MOST:
        problems.append(f"Notion says that it was sent at {mail.noted:%H:%M}, Resend at {mail.accepted:%H:%M}.")
    return problems


def _late(record: Record, due: datetime, accepted: datetime) -> float:
    """How many seconds it was late; the time of a disturbance that was announced does not count."""
    return (accepted - due).total_seconds() - _disturbed(record, due, accepted)


def _disturbed(record: Record, since: datetime, until: datetime) -> float:
    """How many seconds of a time fell into the disturbance: from the first event that was announced to the last."""
    times = [event.at for event in record.events]
    if not times:
        return 0.0
    return max(0.0, (min(until, max(times)) - max(since, min(times))).total_seconds())


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


def _of_letter(mail: Mail, template: Template | None, terms: Terms) -> list[str]:
    if mail.accepted is None or template is None:
        return []
    if mail.letter is None:
        return ["What is in it could not be seen at Resend."]
    return content.problems(mail.letter, _wanted(mail, template, terms), mail.accepted)


def _of_arrival(mail: Mail, template: Template | None, terms: Terms) -> list[str]:
    """What is wrong with it in the mailbox that was not already at Resend."""
    if mail.received is None or mail.accepted is None or template is None:
        return []
    problems = content.problems(mail.received, _wanted(mail, template, terms), mail.accepted)
    if mail.letter:
        known = content.problems(mail.letter, _wanted(mail, template, terms), mail.accepted)
        problems = [one for one in problems if one not in known]
        if mail.received.message_id != mail.letter.message_id:
            problems.append(
                f"Its Message-ID is {mail.received.message_id!r}, and {mail.letter.message_id!r} at Resend."
            )
    if (mail.arrivals or 0) > 1:
        problems.append(f"It is there {mail.arrivals} times.")
    if mail.spam:
        problems.append(f"It lies in {mail.spam}, for spam.")
    failed = [name.upper() for name, result in authenticated(mail.received.headers or {}).items() if result == "fail"]
    problems += [f"Its {name} failed." for name in failed]
    return [f"In the mailbox: {one}" for one in problems]


def _wanted(mail: Mail, template: Template, terms: Terms) -> content.Wanted:
    return content.Wanted(mail.to, template, sequences()[mail.sequence].variables(mail.to), terms)


def want(record: Record, templates: Mapping[str, Template], terms: Terms) -> list[str]:
    """Write the wanted subject of every mail; the names of the templates that are not there."""
    for mail in record.mails:
        if template := templates.get(mail.template):
            mail.wanted_subject = content.subject(_wanted(mail, template, terms))
    return [mail.template for mail in record.mails if mail.template not in templates]
