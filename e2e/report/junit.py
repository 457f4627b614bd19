"""`junit.xml`: the verdict, the enrolments and the mails as tests, for whatever shows test results. Pure."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from junitparser import Failure, JUnitXml, TestCase, TestSuite

from e2e.report import facts, words
from e2e.report.words import clean

if TYPE_CHECKING:
    from datetime import datetime

    from e2e.record import Enrolment, Mail, Record


def text(record: Record) -> bytes:
    """The report as JUnit's XML: a suite for the verdict and one per enrolment; its times are seconds."""
    whole = JUnitXml("campaign end to end")
    whole.add_testsuite(_verdict(record))
    for enrolment in record.enrolments:
        whole.add_testsuite(_suite(record, enrolment))
    whole.update_statistics()  # type: ignore[no-untyped-call] # junitparser leaves this one unannotated
    file = io.BytesIO()
    whole.write(file, pretty=True)
    return file.getvalue()


def _verdict(record: Record) -> TestSuite:
    """The run as a whole. It fails with the run, also where no mail and no enrolment is there to fail."""
    seconds = facts.between(record.began, facts.last_moment(record))
    problems = [] if record.passed else [record.verdict, *record.diagnosis]
    return _filled("run", record, record.began, [_case("verdict", "run", seconds, problems)])


def _suite(record: Record, enrolment: Enrolment) -> TestSuite:
    name = clean(f"{enrolment.sequence} {enrolment.to}")
    seconds = facts.between(enrolment.posted, enrolment.handler_ended)
    entered = _case("enrolment", enrolment.sequence, seconds, facts.wrong(enrolment), enrolment.reason)
    mails = [
        _case(mail.name, enrolment.sequence, _seconds(mail), facts.wrong(mail), mail.reason) for mail in enrolment.mails
    ]
    return _filled(name, record, enrolment.posted or record.began, [entered, *mails])


def _seconds(mail: Mail) -> float | None:
    """From when a mail was due to the last that was seen of it."""
    seen = list(facts.moments(mail).values())
    return facts.between(seen[0], seen[-1]) if seen else None


def _case(name: str, of: str, seconds: float | None, problems: list[str], reason: str = "") -> TestCase:
    case = TestCase(clean(name), clean(of), max(0.0, round(seconds or 0.0, 3)))
    if problems:
        failure = Failure(clean(problems[0]))
        failure.text = clean("\n".join([*problems, *([f"state: {reason}"] if reason else [])]))
        case.result = [failure]
    return case


def _filled(name: str, record: Record, at: datetime, cases: list[TestCase]) -> TestSuite:
    suite = TestSuite(name)
    suite.timestamp = words.iso(at)
    for key, value in ({"against": record.against} | record.versions).items():
        suite.add_property(clean(key), clean(value))
    suite.add_testcases(cases)
    return suite
