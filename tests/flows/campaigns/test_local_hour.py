"""A step that waits for an hour of the local clock: on every day of the year, and never overtaken."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.campaigns import plan
from flows.campaigns.clock import next_at
from flows.campaigns.model import CampaignError, parse
from flows.services.settings import BadSettingError, Settings
from tests.flows.campaigns.test_plan import A, text

TORONTO = "America/Toronto"


@pytest.mark.parametrize(
    ("moment", "clock", "found"),
    [
        ("2026-01-10T13:59Z", "09:00", "2026-01-10T14:00Z"),
        ("2026-01-10T14:00Z", "09:00", "2026-01-10T14:00Z"),  # at its hour it need not wait
        ("2026-01-10T14:01Z", "09:00", "2026-01-11T14:00Z"),
        ("2026-07-10T12:00Z", "09:00", "2026-07-10T13:00Z"),
        ("2026-03-07T15:00Z", "09:00", "2026-03-08T13:00Z"),  # over the night in which clocks go forward: 22 hours
        ("2026-10-31T14:00Z", "09:00", "2026-11-01T14:00Z"),  # and back: 24
        ("2026-03-08T05:00Z", "02:30", "2026-03-08T07:30Z"),  # an hour that is skipped comes as 03:30
        ("2026-03-08T07:31Z", "02:30", "2026-03-09T06:30Z"),
        ("2026-11-01T05:00Z", "01:30", "2026-11-01T05:30Z"),  # an hour that comes twice: the first,
        ("2026-11-01T05:31Z", "01:30", "2026-11-01T06:30Z"),  # and the second for who is late for the first
        ("2026-11-01T06:31Z", "01:30", "2026-11-02T06:30Z"),
    ],
)
def test_the_first_such_time_by_the_local_clock(moment: str, clock: str, found: str) -> None:
    hour = time.fromisoformat(clock)
    assert next_at(datetime.fromisoformat(moment), hour, TORONTO) == datetime.fromisoformat(found)


ZONES = (TORONTO, "Europe/Berlin", "Australia/Lord_Howe", "America/Havana", "Pacific/Apia", "Asia/Kathmandu", "UTC")


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from([datetime(2011, 12, 28, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC)]),
    st.integers(0, 365 * 24 * 60),
    st.times(),
    st.sampled_from(ZONES),
)
def test_it_is_never_before_and_shows_that_hour_unless_clocks_skip_it(
    start: datetime, minutes: int, clock: time, zone: str
) -> None:
    moment, clock = start + timedelta(minutes=minutes), clock.replace(second=0, microsecond=0, fold=0)
    found = next_at(moment, clock, zone)
    assert moment <= found <= moment + timedelta(hours=50)  # two days, where a whole day was skipped (Apia, 2011)
    local = found.astimezone(ZoneInfo(zone))
    if local.time() != clock:  # the clock was put forward over it, on that day
        before = (found - timedelta(hours=25)).astimezone(ZoneInfo(zone))
        assert local.utcoffset() != before.utcoffset()


HOURED = '{ template = "autumn_b", after = "1d", at = "09:00" }'
NEXT = '{ template = "autumn_c", after = "30h" }'


def dues(*steps: str, enrolled: str, testing: bool = False) -> list[datetime]:
    sequence = parse(text(*steps), "autumn.toml")["hello"]
    made = plan.made(sequence, datetime.fromisoformat(enrolled), None, testing=testing, zone=TORONTO)
    return [one.due for one in made]


def test_a_step_keeps_its_delay_and_then_its_hour_and_is_not_overtaken() -> None:
    at = datetime.fromisoformat
    assert dues(A, HOURED, NEXT, enrolled="2026-01-10T20:00Z") == [
        at("2026-01-10T20:00Z"),
        at("2026-01-12T14:00Z"),  # a day is over at 20:00 of the 11th; the next nine o'clock
        at("2026-01-12T14:00Z"),  # due at 02:00 of the 12th, before what comes first
    ]
    minutes = dues(A, HOURED, NEXT, enrolled="2026-01-10T20:00Z", testing=True)
    assert [(one - minutes[0]).seconds for one in minutes] == [0, 60, 120]  # a test waits for no hour


@pytest.mark.parametrize(
    ("step", "more", "said"),
    [
        (HOURED.replace("09:00", "9"), "", r"steps\[2\]\.at: '9' is no time of day such as 09:00"),
        (HOURED.replace("09:00", "24:00"), "", r"steps\[2\]\.at: '24:00' is no time of day"),
        (
            HOURED.replace("09:00", "22:00"),
            'quiet = "21:00-08:00"',
            r"steps\[2\]\.at: '22:00' is within the hours of quiet",
        ),
        (HOURED.replace("at =", "hour ="), "", r"steps\[2\]: needs template and after .* may have at"),
    ],
)
def test_an_hour_that_cannot_be_is_refused(step: str, more: str, said: str) -> None:
    with pytest.raises(CampaignError, match=said):
        parse(text(A, step, more=more), "autumn.toml")


@pytest.mark.parametrize("wrong", ["Toronto", "../etc/passwd", "America"])
def test_a_time_zone_that_is_none_is_named_with_the_remedy(wrong: str) -> None:
    with pytest.raises(BadSettingError, match=r"^HUBLAB_TIMEZONE: '.*' is no time zone; .*`./hublab campaign secrets`"):
        _ = Settings({"HUBLAB_TIMEZONE": wrong}).zone
