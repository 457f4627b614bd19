"""A host whose clock is hours or days off sends, waits and reads as every other: it goes by Prefect's; in memory."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from flows.campaigns.model import sequence as find_sequence
from flows.enrolment import takeover
from flows.recipients.contact import BOOKING
from flows.sending import one_mail
from flows.services import notion_schema as schema
from flows.services import server_clock
from flows.services.postpone import NotYetError
from flows.services.prefect_api import Prefect
from flows.services.server_clock import ServerClock
from sandbox.standins.workspace import text
from tests.flows import in_the_campaign
from tests.flows.in_the_campaign import SAME
from tests.flows.test_attacked import killed_once_it_is_sent

if TYPE_CHECKING:
    from tests.flows.in_the_campaign import Campaign
    from tests.flows.world import World

campaign = in_the_campaign.campaign  # the fixture
OFF = [timedelta(hours=hours) for hours in (-72, -25, -2, 2, 25, 72)]


def mail_of(campaign: Campaign) -> list[str]:
    return [str(mail["payload"]["subject"]) for mail in campaign.all.resend.mails]


@pytest.mark.parametrize("later", [timedelta(minutes=1), timedelta(hours=24, minutes=30), timedelta(days=4)])
@pytest.mark.parametrize("off", OFF)
@pytest.mark.parametrize("first", [True, False], ids=["first try", "retry"])
def test_a_mail_goes_once_whichever_try_s_host_has_the_wrong_clock(
    campaign: Campaign, first: bool, off: timedelta, later: timedelta
) -> None:
    """Resend has forgotten the key after 24 hours; the mail is found there."""
    campaign.all.host_off = off if first else timedelta()
    enrolment = campaign.enrols()
    killed_once_it_is_sent(campaign, enrolment)  # type: ignore[arg-type]
    campaign.all.clock.advance(later.total_seconds())
    campaign.all.host_off = timedelta() if first else off
    assert one_mail.send(enrolment, 1).name == "Completed"
    assert len(campaign.all.resend.mails) == 1


@pytest.mark.parametrize("off", OFF)
def test_what_is_written_down_is_when_it_was(campaign: Campaign, off: timedelta) -> None:
    campaign.all.host_off = off
    enrolment = campaign.enrols()
    began = campaign.all.clock.now()
    assert enrolment["made"] == began.isoformat()
    assert campaign.send(enrolment, 1) == ""
    page = campaign.all.notion.page(enrolment["page"])
    assert began <= datetime.fromisoformat(page["values"]["Email 1 Sent"]["start"]) <= campaign.all.clock.now()


@pytest.mark.parametrize("off", OFF)
def test_a_run_waits_as_long_as_it_should(campaign: Campaign, monkeypatch: pytest.MonkeyPatch, off: timedelta) -> None:
    enrolment = campaign.enrols()
    campaign.all.host_off = off

    def waits(reason: str, longest: timedelta) -> None:
        state = one_mail.send(enrolment, 1)
        assert state.name == "AwaitingRetry"
        assert reason in str(state.message)
        due = state.state_details.scheduled_time
        assert due is not None
        now = campaign.all.clock.now()
        assert now < due <= now + longest

    with monkeypatch.context() as paused:
        paused.setattr(type(campaign.all.settings), "paused", True)
        waits("paused", one_mail.PAUSE)
    campaign.all.quota = True
    waits("quota", timedelta(minutes=30))
    with pytest.raises(NotYetError) as caught:
        takeover.wait(campaign.prefect, {"phase": takeover.CLAIMING})
    assert caught.value.when == campaign.all.clock.now() + takeover.LOOK_AGAIN


@pytest.mark.parametrize("off", OFF)
@pytest.mark.parametrize("late", [timedelta(days=1), timedelta(days=8)])
def test_a_mail_is_worth_sending_for_as_long_as_its_campaign_says(
    campaign: Campaign, monkeypatch: pytest.MonkeyPatch, off: timedelta, late: timedelta
) -> None:
    enrolment = campaign.enrols()
    sequence = replace(find_sequence("christmas", "signup"), expires=timedelta(days=5))
    monkeypatch.setattr(one_mail, "find_sequence", lambda *_: sequence)
    campaign.all.clock.advance(late.total_seconds())
    campaign.all.host_off = off
    assert bool(campaign.send(enrolment, 1)) is (late > timedelta(days=5))


@pytest.mark.parametrize("off", OFF)
@pytest.mark.parametrize("first", [True, False], ids=["who kept it", "who reads it"])
def test_a_text_that_is_edited_goes_out_minutes_later(campaign: Campaign, first: bool, off: timedelta) -> None:
    ada, bea = campaign.enrols(), campaign.enrols(email="bea@salon.net")
    campaign.all.host_off = off if first else timedelta()
    assert campaign.send(ada, 1) == ""
    (page,) = [
        one
        for one in campaign.all.notion.pages.values()
        if one["source"] == campaign.all.sources[schema.TEMPLATES].id
        and one["values"]["Template Name"][0]["plain_text"] == "christmas_email_1"
    ]
    campaign.all.notion.update_page(page["id"], {"properties": {"Subject Line": {"rich_text": text("the new one")}}})
    campaign.all.clock.advance(600)
    campaign.all.host_off = timedelta() if first else off
    assert campaign.send(bea, 1) == ""
    assert mail_of(campaign) == ["christmas_email_1: a word", "the new one"]


@pytest.mark.parametrize("off", OFF)
def test_an_edit_that_another_host_did_not_see_yet_stops_the_mail(campaign: Campaign, off: timedelta) -> None:
    enrolment, other = campaign.enrols(), campaign.contact(SAME[2])
    campaign.all.host_off = off
    assert campaign.send(enrolment, 1) == ""
    campaign.all.clock.advance(120)
    campaign.edit(other, **{BOOKING: "Booked"})
    campaign.all.clock.advance(120)
    campaign.all.host_off = -off
    assert "booking" in campaign.send(enrolment, 2)


class Hosts(datetime):
    """The clock of a host that is years off."""

    @classmethod
    def now(cls, tz: Any = None) -> datetime:  # type: ignore[override]
        return datetime(2001, 1, 1, tzinfo=UTC).astimezone(tz)


def answer(at: datetime) -> httpx.Response:
    return httpx.Response(200, headers={"date": format_datetime(at, usegmt=True)})


@pytest.fixture
def ticks(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that this process counts."""
    seconds = [0.0]
    monkeypatch.setattr(server_clock, "datetime", Hosts)
    monkeypatch.setattr(time, "monotonic", lambda: seconds[0])
    return seconds


AT = datetime(2026, 1, 5, 12, tzinfo=UTC)


def test_the_server_s_answers_say_what_time_it_is_and_the_process_counts_on(ticks: list[float]) -> None:
    clock = ServerClock()
    assert (clock.known, clock.now()) == (False, Hosts.now(UTC))  # nobody has told better
    clock.hear(answer(AT))
    assert (clock.known, clock.now()) == (True, AT)
    ticks[0] += 90
    assert clock.now() == AT + timedelta(seconds=90)
    clock.hear(answer(AT + timedelta(seconds=70)))  # was on its way for long
    assert clock.now() == AT + timedelta(seconds=90)
    clock.hear(answer(AT + timedelta(seconds=91)))
    assert clock.now() == AT + timedelta(seconds=91)
    clock.hear(answer(AT - timedelta(hours=1)))  # somebody has set the server's clock
    assert clock.now() == AT - timedelta(hours=1)


@pytest.mark.parametrize("headers", [{}, {"date": ""}, {"date": "soon"}, {"date": "Mon, 99 Foo 2026 99:99:99 GMT"}])
def test_an_answer_that_says_no_time_tells_nothing(ticks: list[float], headers: dict[str, str]) -> None:
    clock = ServerClock()
    clock.hear(httpx.Response(200, headers=headers))
    assert not clock.known
    clock.hear(answer(AT))
    clock.hear(httpx.Response(200, headers=headers))
    assert clock.now() == AT


def test_prefect_s_server_is_asked_where_it_has_not_told_yet(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    with Prefect() as prefect:
        run = world.enrol("signup", world.payload("signup"))
        monkeypatch.setattr("flows.services.prefect_api.clock", fresh := ServerClock())
        monkeypatch.setattr(server_clock, "datetime", Hosts)
    with Prefect() as prefect:
        assert not fresh.known
        assert run.created is not None
        assert timedelta(minutes=-1) < prefect.now() - run.created < timedelta(hours=1)
        assert fresh.known
        prefect.client.delete_flow_run(run.id)
