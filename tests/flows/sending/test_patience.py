"""How long a mail waits for its time or for a service, and when it is given up."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest
from prefect.states import Running

from flows.campaigns.model import sequence as find_sequence
from flows.campaigns.quiet import Quiet
from flows.sending import one_mail
from flows.services import postpone
from flows.services.errors import ResendQuotaError, UnavailableError
from flows.services.postpone import NotYetError
from flows.services.prefect_api import Prefect
from tests.flows import in_the_campaign

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.flows.in_the_campaign import Campaign
    from tests.flows.world import World

campaign = in_the_campaign.campaign  # the fixture
RESET = timedelta(hours=24)


def test_a_quota_that_is_used_up_early_in_the_day_is_outlasted(campaign: Campaign) -> None:
    """Waiting for its reset is not given up before there was one, and the mail goes out then."""
    enrolment = campaign.enrols()
    run = campaign.all.runs[f"{enrolment['key']}:1"]
    campaign.all.quota, began = True, campaign.all.clock.now()
    campaign.all.current.append(run)
    for _ in range(postpone.MOST - 1):
        run.tries += 1
        state = one_mail.send(enrolment, 1)
        assert state.name == "AwaitingRetry"
        assert state.state_details.scheduled_time is not None
        campaign.all.clock.at = state.state_details.scheduled_time
    assert campaign.all.clock.now() - began > RESET + timedelta(hours=1)
    run.tries += 1
    try:
        one_mail.send(enrolment, 1)
    except ResendQuotaError:  # for good, and told to the operator
        campaign.all.quota = False
    assert campaign.send(enrolment, 1) == ""


@pytest.mark.parametrize(("hours", "sent"), [(9, True), (16, True), (18, False)])
def test_what_falls_into_quiet_hours_is_worth_sending_from_their_end_on(
    campaign: Campaign, monkeypatch: pytest.MonkeyPatch, hours: int, sent: bool
) -> None:
    """They are longer than a mail's worth: counted from when it was due, it never would go."""
    enrolment, local = campaign.enrols(), campaign.all.clock.now().astimezone(ZoneInfo(campaign.all.settings.zone))
    quiet = Quiet((local - timedelta(hours=1)).time(), (local + timedelta(hours=9)).time())
    edited = replace(find_sequence("christmas", "signup"), quiet=quiet, expires=timedelta(hours=8))
    monkeypatch.setattr(one_mail, "find_sequence", lambda *_: edited)
    assert "quiet hours" in campaign.send(enrolment, 1)
    campaign.all.clock.advance(hours * 3600)
    assert ("no longer worth" in campaign.send(enrolment, 1)) is not sent
    assert len(campaign.all.resend.mails) == sent


def test_waiting_for_its_time_uses_no_patience_up(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pause of days is looked at every fifteen minutes; then Notion is away for a minute."""
    monkeypatch.setattr(postpone, "MOST", 4)
    _, mails = world.enrolled("noshow")
    tries = 0

    def attempt(work: Callable[[], Any]) -> Any:
        nonlocal tries
        tries += 1
        with Prefect() as prefect:
            prefect.client.set_flow_run_state(mails[0].id, Running(), force=True)
            run = SimpleNamespace(id=str(mails[0].id), run_count=tries)
            monkeypatch.setattr(postpone, "runtime", SimpleNamespace(flow_run=run))
            state = postpone.or_later(work)
            prefect.client.set_flow_run_state(mails[0].id, state, force=True)
        return state

    def wait() -> Any:
        raise NotYetError(datetime.now(UTC), "the campaign is paused")

    def fail() -> Any:
        raise UnavailableError("Notion is away")

    for _ in range(2):
        for _ in range(5):
            assert attempt(wait).message == "waits: the campaign is paused"
        for _ in range(3):
            assert attempt(fail).message == "postponed: Notion is away"
    with pytest.raises(UnavailableError):
        attempt(fail)
