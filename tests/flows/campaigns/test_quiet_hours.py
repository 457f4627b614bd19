"""Quiet hours: by the local clock, also on the days on which it is changed; what falls into them goes at their end."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest

from flows.campaigns.model import CampaignError, parse
from flows.campaigns.quiet import Quiet
from tests.flows.campaigns.test_plan import A, text

NIGHT = Quiet(time(21), time(8))
TORONTO = ZoneInfo("America/Toronto")


@pytest.mark.parametrize(
    ("local", "until"),
    [
        ("2026-01-10T20:59", None),
        ("2026-01-10T21:00", "2026-01-11T13:00Z"),
        ("2026-01-11T03:00", "2026-01-11T13:00Z"),
        ("2026-01-11T07:59", "2026-01-11T13:00Z"),
        ("2026-01-11T08:00", None),
        ("2026-07-10T23:00", "2026-07-11T12:00Z"),
        ("2026-03-07T22:00", "2026-03-08T12:00Z"),  # the night in which clocks are put forward: an hour less
        ("2026-10-31T22:00", "2026-11-01T13:00Z"),  # and back: an hour more
    ],
)
def test_the_night_ends_by_the_local_clock(local: str, until: str | None) -> None:
    now = datetime.fromisoformat(local).replace(tzinfo=TORONTO)
    found = NIGHT.until(now, "America/Toronto")
    assert found == (datetime.fromisoformat(until) if until else None)


@pytest.mark.parametrize(
    "quiet",
    [
        NIGHT,
        Quiet(time(22), time(1, 30)),
        Quiet(time(20), time(2, 30)),
        Quiet(time(1, 30), time(5)),
        Quiet(time(12), time(13)),
    ],
)
@pytest.mark.parametrize("first", ["2026-03-07T12:00Z", "2026-10-31T12:00Z", "2026-06-01T12:00Z"])
def test_an_end_is_always_ahead_and_outside_whatever_the_clocks_do(quiet: Quiet, first: str) -> None:
    for minutes in range(0, 48 * 60, 5):
        now = datetime.fromisoformat(first) + timedelta(minutes=minutes)
        found = quiet.until(now, "America/Toronto")
        if found is not None:
            assert now < found <= now + timedelta(hours=13)
            assert quiet.until(found, "America/Toronto") is None


def test_where_the_end_comes_twice_the_second_ends_the_night() -> None:
    night, quarter_past = Quiet(time(22), time(1, 30)), datetime.fromisoformat("2026-11-01T06:15Z")  # 01:15 once more
    assert night.until(quarter_past, "America/Toronto") == datetime.fromisoformat("2026-11-01T06:30Z")


def test_a_day_within_is_no_night() -> None:
    noon = datetime(2026, 1, 10, 12, 30, tzinfo=UTC)
    assert Quiet(time(12), time(13)).until(noon, "UTC") == datetime(2026, 1, 10, 13, tzinfo=UTC)


@pytest.mark.parametrize("wrong", ["21-8", "24:00-08:00", "21:00-21:00", "08:00-21:00", "21:00", "21:60-08:00"])
def test_quiet_hours_that_are_none_are_refused(wrong: str) -> None:
    with pytest.raises(CampaignError, match=r"quiet: '.*' is (no time of day|not between a minute and twelve hours)"):
        parse(text(A, more=f'quiet = "{wrong}"'), "autumn.toml")
