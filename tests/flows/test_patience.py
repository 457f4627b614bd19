"""How long a mail waits for a service before it is given up; in memory."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from flows.sending import one_mail
from flows.services import postpone
from flows.services.errors import ResendQuotaError
from tests.flows import test_edits

if TYPE_CHECKING:
    from tests.flows.test_edits import Campaign

campaign = test_edits.campaign  # the fixture
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
