"""Both changes of the clock in a year: what was promised for a time goes at that time, and a day is that day. Pure."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from flows.campaigns import clock, plan
from flows.campaigns.clock import next_at
from flows.campaigns.model import sequence as find_sequence
from flows.campaigns.quiet import Quiet
from flows.enrolment import enrol
from flows.operator.cutover import decide, read, writes
from flows.operator.cutover.facts import Contact, Facts, OldRun, Record
from flows.sending import filters, pacing
from sandbox.campaign.contacts import PAYLOADS
from tests.flows.in_memory import Services, installed

ADA = "ada@salon.ca"
SIGNUP = find_sequence("christmas", "signup")
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
# A zone, and the instant at which its clocks are changed.
CHANGES = [
    ("America/New_York", "2026-03-08T07:00Z"),
    ("America/New_York", "2026-11-01T06:00Z"),
    ("Europe/Berlin", "2026-03-29T01:00Z"),
    ("Europe/Berlin", "2026-10-25T01:00Z"),
]
changed = pytest.mark.parametrize(("zone", "instant"), CHANGES)


def at(instant: str) -> datetime:
    return datetime.fromisoformat(instant)


@changed
def test_the_instants_are_those_of_the_changes(zone: str, instant: str) -> None:
    before, after = ((at(instant) + by).astimezone(ZoneInfo(zone)).utcoffset() for by in (-HOUR, timedelta()))
    assert before != after


@changed
def test_a_mail_that_was_scheduled_over_the_change_is_taken_over_at_its_instant(zone: str, instant: str) -> None:
    enrolled = at(instant) - 100 * HOUR
    now = enrolled + 80 * HOUR
    due = {step.number: enrolled + step.delay for step in SIGNUP.steps}
    # As Prefect shows them, and as somebody's own clock does.
    runs = tuple(
        OldRun(f"r{n}", ADA, ("christmas", "signup"), n, when.astimezone(ZoneInfo(zone) if n % 2 else UTC),
               "COMPLETED" if n <= 3 else "SCHEDULED", "", when, {"email": ADA, "email_number": n, "first_name": "Ada"})
        for n, when in due.items()
    )  # fmt: skip
    page = Record("p", ADA, "", "Christmas 2025", "", enrolled, {n: due[n] for n in (1, 2, 3)}, {}, linked=True)
    (case,) = decide.cases(Facts(now, runs, (page,), {ADA: (Contact("c", "", ""),)}))
    kinds = [one.kind for one in case.fates]
    assert kinds == ["out"] * 3 + ["comes"] * 4
    enrolment = writes.enrolment(case)
    assert {one.number: one.due for one in plan.of(SIGNUP, enrolment)} == due


@changed
def test_a_delay_of_days_is_so_many_hours_and_two_mails_keep_their_distance(zone: str, instant: str) -> None:
    for enrolled in (at(instant) - 30 * HOUR, (at(instant) - 30 * HOUR).astimezone(ZoneInfo(zone))):
        stamp = datetime.fromisoformat(enrolled.isoformat())  # as it comes in a run's parameters
        made = plan.made(SIGNUP, stamp, None, zone=zone)
        assert [(one.due - stamp) / HOUR for one in made] == [0, 24, 72, 120, 168, 216, 264]


@changed
def test_a_step_with_an_hour_goes_at_that_hour_before_and_after(zone: str, instant: str) -> None:
    local, moment = ZoneInfo(zone), at(instant) - 3 * DAY
    days = []
    for _ in range(7):
        moment = next_at(moment, time(9), zone)
        assert moment.astimezone(local).time() == time(9)
        days.append(moment.astimezone(local).date())
        moment += timedelta(minutes=1)
    assert [(b - a).days for a, b in itertools.pairwise(days)] == [1] * 6
    lengths = {
        next_at(at(instant) + by, time(9), zone) - next_at(at(instant) + by - DAY, time(9), zone) for by in (-DAY, HOUR)
    }
    assert lengths & {23 * HOUR, 25 * HOUR}


@changed
def test_the_night_of_the_change_ends_at_eight_by_the_clock(zone: str, instant: str) -> None:
    night = Quiet(time(21), time(8))
    for hours in range(-4, 5):
        end = night.until(at(instant) + hours * HOUR, zone)
        assert end is not None
        assert (end.astimezone(ZoneInfo(zone)).time(), end.tzinfo) == (time(8), UTC)
        assert end.astimezone(ZoneInfo(zone)).date() == at(instant).astimezone(ZoneInfo(zone)).date()


@changed
def test_a_day_without_a_time_is_that_day_everywhere(zone: str, instant: str) -> None:
    day = at(instant).astimezone(ZoneInfo(zone)).date()
    shown = filters.of(zone)["date"]
    assert shown(day.isoformat()) == f"Sunday, {day:%B} {day.day}, {day.year}"
    before, after = ((at(instant) + by).astimezone(ZoneInfo(zone)) for by in (timedelta(minutes=-1), timedelta()))
    assert shown(before.astimezone(UTC).isoformat()) == shown(day.isoformat()) == shown(after.isoformat())
    assert filters.of(zone)["time"](after.astimezone(UTC).isoformat()) == f"{after.hour}:00 AM"


def page_of(day: str, name: str = "Email 1 Sent", kind: str = "date") -> dict[str, Any]:
    shown: dict[str, Any] = {"date": {"start": day}} if kind == "date" else {kind: [{"plain_text": day}]}
    return {"id": "p", "created_time": "2026-03-01T00:00:00Z", "properties": {name: {"type": kind} | shown}}


@changed
def test_a_date_in_notion_that_has_no_time_is_a_start_and_a_mark(zone: str, instant: str) -> None:
    day = at(instant).astimezone(ZoneInfo(zone)).date().isoformat()
    midnight = datetime.fromisoformat(day).replace(tzinfo=UTC)
    assert read._record(page_of(day)).sent == {1: midnight}
    assert read._record(page_of(day, "Signup Date")).started == midnight
    made = plan.made(SIGNUP, midnight, None, zone=zone)
    assert pacing.after_the_last(page_of(day), made, 2) == midnight + 12 * HOUR


def test_a_mark_that_no_clock_reads_holds_no_later_mail_back() -> None:
    made = plan.made(SIGNUP, at("2026-03-08T07:00Z"), None)
    typed = page_of("on Monday", kind="rich_text")
    assert pacing.after_the_last(typed, made, 2) is None
    assert pacing.still_to_come(typed, made, 2) == []


def test_a_call_that_names_no_zone_came_at_that_time_in_utc() -> None:
    assert clock.instant("2026-03-08T02:30") == at("2026-03-08T02:30Z")
    assert clock.instant("2026-03-08T02:30-05:00") == at("2026-03-08T07:30Z")
    services = Services()
    with installed(services):
        enrol.enrol("christmas", "signup", PAYLOADS["signup"] | {"email": "ada@salon.ca"}, "2026-03-08T02:30")
    first, second, *_ = sorted(run.due for run in services.runs.values() if not run.enrols)
    assert (first, second) == (at("2026-03-08T02:30Z"), at("2026-03-09T02:30Z"))


def test_the_plan_of_before_is_read_as_it_was_written() -> None:
    made = plan.made(replace(SIGNUP, steps=SIGNUP.steps[:2]), at("2026-11-01T01:30-04:00"), None)
    read_again = plan.of(SIGNUP, {"plan": plan.written(made)})
    assert [one.due for one in read_again] == [at("2026-11-01T05:30Z"), at("2026-11-02T05:30Z")]
