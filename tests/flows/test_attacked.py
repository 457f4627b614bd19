"""Ways in which a mail could go twice or to who has left, though each part does as it says; in memory."""

from __future__ import annotations

import contextlib
import copy
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from resend.exceptions import raise_for_code_and_type

from flows.enrolment import enrol
from flows.recipients import suppression
from flows.recipients.contact import BOOKING, STATUS
from flows.sending import frozen, one_mail
from flows.sending.delivery import UncertainSendError
from flows.services import notion_schema as schema
from flows.services.errors import ResendFailedError
from flows.webhooks import events
from sandbox.campaign.contacts import PAYLOADS
from tests.flows import in_the_campaign
from tests.flows.in_memory import Killed, Try
from tests.flows.in_the_campaign import EMAIL, SAME

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.flows.in_the_campaign import Read

campaign = in_the_campaign.campaign_read_ahead  # the fixture
OTHER = SAME[3]


def killed_once_it_is_sent(campaign: Read, enrolment: dict[str, Any], step: int = 1) -> None:
    """Resend has the mail, and nobody has written that down."""

    def kill() -> None:
        raise Killed

    campaign.all.tries.append(Try({("resend send", "after"): [kill]}))
    with pytest.raises(Killed):
        one_mail.send(enrolment, step)
    campaign.all.tries.clear()
    assert len(campaign.all.resend.mails) == 1


def sent_by_a_host_with_a_clock_ahead(campaign: Read, ahead: timedelta) -> dict[str, Any]:
    """An enrolment whose first mail Resend has, and of which that host's clock says when it was frozen."""
    enrolment = campaign.enrols()
    killed_once_it_is_sent(campaign, enrolment)
    kept = campaign.all.kept[frozen.place(enrolment["key"], 1)]
    kept["frozen_at"] = (campaign.all.clock.now() + ahead).isoformat()
    campaign.all.artifacts[kept["artifact"]][1]["frozen_at"] = kept["frozen_at"]
    return enrolment


@pytest.mark.parametrize("cause", ["Unsubscribed", "Bounced", "Complained", "Suppressed"])
def test_who_leaves_under_one_writing_of_the_address_has_left_under_each(campaign: Read, cause: str) -> None:
    enrolments = [campaign.enrols(email=one) for one in (EMAIL, OTHER)]
    suppression.record(campaign.prefect, OTHER, cause, "2026-01-05T12:00:00+00:00", "test")
    for enrolment in enrolments:
        assert "suppressed" in campaign.send(enrolment, 1)
    for name in ("noshow", "postcall"):
        payload = PAYLOADS[name] | {"email": SAME[2]}
        assert enrol.enrol("christmas", name, payload, None).name == "Skipped"


@pytest.mark.parametrize("hours", [1, 25])
def test_a_mail_that_an_earlier_release_has_sent_goes_no_second_time(campaign: Read, hours: int) -> None:
    """It kept a mail by an artifact alone, and its try was killed once Resend had it; then this one was deployed."""
    enrolment = campaign.enrols()
    killed_once_it_is_sent(campaign, enrolment)
    kept = campaign.all.kept.pop(frozen.place(enrolment["key"], 1))
    del campaign.all.artifacts[kept["artifact"]][1][frozen.BY_NAME]
    campaign.all.clock.advance(hours * 3_600)
    assert one_mail.send(enrolment, 1).name == "Completed"
    assert len(campaign.all.resend.mails) == 1


@pytest.mark.parametrize("call", ["artifact_of", "read suppression"])
def test_a_host_that_slept_for_a_day_in_the_midst_of_a_try_sends_no_second_time(campaign: Read, call: str) -> None:
    """Resend has forgotten the key by then; what was judged before the sleep is judged again behind it."""
    enrolment = campaign.enrols()
    killed_once_it_is_sent(campaign, enrolment)
    mine = Try({(call, "before"): [lambda: campaign.all.clock.advance(25 * 3_600)]})
    campaign.all.tries.append(mine)
    assert one_mail.send(enrolment, 1).name == "Completed"  # found at Resend
    campaign.all.tries.clear()
    assert not mine.plan, "it did sleep"
    assert len(campaign.all.resend.mails) == 1


def test_a_host_that_slept_for_a_day_before_anybody_has_sent_sends(campaign: Read) -> None:
    enrolment = campaign.enrols()
    campaign.all.tries.append(Try({("read suppression", "before"): [lambda: campaign.all.clock.advance(25 * 3_600)]}))
    assert one_mail.send(enrolment, 1).name == "AwaitingRetry"
    campaign.all.tries.clear()
    assert campaign.all.resend.mails == []
    assert one_mail.send(enrolment, 1).name == "Completed"
    assert len(campaign.all.resend.mails) == 1


def test_a_host_that_slept_for_a_day_sends_by_a_key_that_may_not_list_too(campaign: Read) -> None:
    """Resend has keys for sending alone; the mail is made anew, and none of its tries waits for a person."""
    enrolment = campaign.enrols()

    def refused() -> None:
        raise_for_code_and_type(401, "restricted_api_key", "This API key is restricted to only send emails")

    campaign.all.tries.append(Try({("read suppression", "before"): [lambda: campaign.all.clock.advance(25 * 3_600)]}))
    campaign.all.tries[0].plan["resend list", "before"] = [refused]
    assert one_mail.send(enrolment, 1).name == "AwaitingRetry"
    campaign.all.tries.clear()
    assert one_mail.send(enrolment, 1).name == "Completed"
    assert len(campaign.all.resend.mails) == 1


def test_a_host_that_slept_for_a_day_while_another_try_has_sent_and_was_killed_sends_no_second_time(
    campaign: Read,
) -> None:
    """The one that slept had frozen it; nobody has written down that Resend has it."""
    enrolment = campaign.enrols()

    def other() -> None:
        saved, campaign.all.tries = campaign.all.tries, []
        killed_once_it_is_sent(campaign, enrolment)
        campaign.all.tries = saved
        campaign.all.clock.advance(25 * 3_600)

    campaign.all.tries.append(Try({("claim", "after"): [other]}))
    assert one_mail.send(enrolment, 1).name == "Completed"  # found at Resend
    assert not campaign.all.tries.pop().plan
    assert len(campaign.all.resend.mails) == 1


def test_a_window_that_is_set_longer_than_resend_keeps_a_key_sends_no_second_time(campaign: Read) -> None:
    campaign.all.settings._values["HUBLAB_RESEND_WINDOW_HOURS"] = "48"
    enrolment = campaign.enrols()
    killed_once_it_is_sent(campaign, enrolment)
    campaign.all.clock.advance(30 * 3_600)
    assert one_mail.send(enrolment, 1).name == "Completed"  # found at Resend
    assert len(campaign.all.resend.mails) == 1


@pytest.mark.parametrize("ahead", [timedelta(minutes=30), timedelta(hours=2), timedelta(days=2)])
def test_a_clock_that_was_ahead_when_the_mail_was_frozen_sends_it_no_second_time(
    campaign: Read, ahead: timedelta
) -> None:
    """A day later Resend has forgotten the key; the mail is found there, or nobody sends it on a guess."""
    enrolment = sent_by_a_host_with_a_clock_ahead(campaign, ahead)
    campaign.all.clock.advance(timedelta(hours=24, minutes=45).total_seconds())
    try:
        one_mail.send(enrolment, 1)
    except UncertainSendError as error:
        assert "Look for it at Resend" in str(error)  # noqa: PT017 - either is right
    assert len(campaign.all.resend.mails) == 1


@pytest.mark.parametrize("ahead", [timedelta(minutes=4), timedelta(minutes=50)])
def test_a_refusal_does_not_let_go_of_a_mail_that_a_host_with_a_clock_ahead_has_sent(
    campaign: Read, ahead: timedelta
) -> None:
    enrolment = sent_by_a_host_with_a_clock_ahead(campaign, ahead)
    campaign.all.clock.advance(ahead.total_seconds() + 60)
    campaign.all.resend.domains["hublab.test"] = "pending"
    assert one_mail.send(enrolment, 1).name == "Completed"  # found there
    campaign.all.resend.domains["hublab.test"] = "verified"
    campaign.all.clock.advance(86_400 * 2)
    one_mail.send(enrolment, 1)
    assert len(campaign.all.resend.mails) == 1


@pytest.mark.parametrize("reader", [True, False])
def test_a_prefect_that_is_restored_from_yesterday_sends_nothing_again_and_nothing_to_who_left_since(
    campaign: Read, reader: bool
) -> None:
    enrolment, gone = campaign.enrols(), campaign.enrols(email="bea@salon.net")
    assert campaign.send(enrolment, 1) == ""
    yesterday = copy.deepcopy((campaign.all.kept, campaign.all.artifacts))
    campaign.until(campaign.all.clock.now() + timedelta(days=1))
    assert campaign.send(enrolment, 2) == ""
    for page in campaign.all.notion.pages.values():
        if page["values"].get("Email") == gone["email"] and STATUS in page["values"]:
            campaign.edit(page, **{STATUS: "Unsubscribed"})  # as events.mark shows it
    suppression.record(campaign.prefect, gone["email"], "Unsubscribed", "2026-01-06T12:00:00+00:00", "test")
    campaign.all.clock.advance(86_400)
    campaign.all.kept, campaign.all.artifacts = yesterday
    if reader:
        campaign.looks()
    assert "already sent" in campaign.send(enrolment, 2)
    assert "unsubscribed" in campaign.send(gone, 2)


def another(campaign: Read, enrolment: dict[str, Any], *, refused: bool) -> Callable[[], None]:
    """A whole try of the first mail by another engine; a day goes by."""

    def whole() -> None:
        saved, campaign.all.tries = campaign.all.tries, []
        campaign.all.resend.domains["hublab.test"] = "pending" if refused else "verified"
        with pytest.raises(ResendFailedError) if refused else contextlib.nullcontext():
            one_mail.send(enrolment, 1)
        campaign.all.resend.domains["hublab.test"] = "verified"
        campaign.all.tries = saved
        campaign.all.clock.advance(86_400 * 2)

    return whole


@pytest.mark.parametrize("moment", ["artifacts", "keep", "claim"])
def test_a_mail_that_another_try_has_sent_two_days_ago_is_not_sent_by_one_that_was_held_up(
    campaign: Read, moment: str
) -> None:
    enrolment = campaign.enrols()
    campaign.all.tries.append(Try({(moment, "after"): [another(campaign, enrolment, refused=False)]}))
    assert one_mail.send(enrolment, 1).name == "Completed"
    assert not campaign.all.tries.pop().plan
    assert len(campaign.all.resend.mails) == 1


def test_a_mail_that_another_try_has_let_go_of_is_begun_anew_and_goes_once(campaign: Read) -> None:
    """Sent as it is, nobody would know of it: killed then, it would go a second time when Resend has forgotten it."""
    enrolment = campaign.enrols()
    campaign.all.tries.append(Try({("claim", "after"): [another(campaign, enrolment, refused=True)]}))
    waits = one_mail.send(enrolment, 1)
    assert not campaign.all.tries.pop().plan
    assert waits.name == "AwaitingRetry"
    assert "another try has let go of this mail" in str(waits.message)
    assert campaign.all.resend.mails == []
    assert one_mail.send(enrolment, 1).name == "Completed"
    assert len(campaign.all.resend.mails) == 1
    assert not [key for key, _, _ in campaign.all.artifacts.values() if key.startswith("mail-")]


@pytest.mark.parametrize("lists", [True, False])
def test_a_mail_that_a_try_beside_it_has_sent_is_not_let_go_of_at_a_refusal(campaign: Read, lists: bool) -> None:
    """A run that was begun twice: the other try is killed once Resend has the mail, this one had frozen it."""
    enrolment = campaign.enrols()

    def other() -> None:
        saved, campaign.all.tries = campaign.all.tries, []
        killed_once_it_is_sent(campaign, enrolment)
        campaign.all.tries = saved
        campaign.all.resend.domains["hublab.test"] = "pending"

    def away() -> None:
        raise_for_code_and_type(503, "application_error", "Resend is away")

    campaign.all.settings._values["HUBLAB_RETRY_SECONDS"] = "0"
    campaign.all.tries.append(Try({("claim", "after"): [other]}))
    if not lists:
        campaign.all.tries[0].plan["resend list", "before"] = [away]
    assert one_mail.send(enrolment, 1).name == ("Completed" if lists else "AwaitingRetry")
    assert not campaign.all.tries.pop().plan
    campaign.all.resend.domains["hublab.test"] = "verified"
    campaign.all.clock.advance(86_400 * 2)  # Resend has forgotten the key
    assert one_mail.send(enrolment, 1).name == "Completed"
    assert len(campaign.all.resend.mails) == 1


CHANGES: dict[str, Callable[[Read, dict[str, Any]], object]] = {
    "unsubscribed": lambda campaign, _: suppression.record(campaign.prefect, OTHER, "Unsubscribed", "now", "test"),
    "booked elsewhere": lambda campaign, _: campaign.contact(OTHER, **{BOOKING: "Booked"}),
    "left elsewhere": lambda campaign, _: campaign.contact(OTHER, **{STATUS: "Bounced"}),
    "record thrown away": lambda campaign, one: campaign.all.notion.update_page(one["page"], {"in_trash": True}),
    "unlinked": lambda campaign, one: [
        campaign.all.notion.update_page(one["page"], {"properties": {"Contact": {"relation": []}}}),
        *(
            campaign.all.notion.update_page(page["id"], {"in_trash": True})
            for page in list(campaign.all.notion.pages.values())
            if page["source"] == campaign.all.sources[schema.CONTACTS].id
        ),
    ],
}


@pytest.mark.parametrize("what", CHANGES)
@pytest.mark.parametrize("sent", [False, True])
def test_what_is_changed_between_two_tries_holds_and_what_went_out_is_written_down(
    campaign: Read, what: str, sent: bool
) -> None:
    enrolment = campaign.enrols()
    if sent:
        killed_once_it_is_sent(campaign, enrolment)
    else:
        campaign.all.quota = True
        assert one_mail.send(enrolment, 1).name == "AwaitingRetry"
        campaign.all.quota = False
    CHANGES[what](campaign, enrolment)
    campaign.all.clock.advance(180)
    assert one_mail.send(enrolment, 1).name == ("Completed" if sent else "Skipped")
    assert len(campaign.all.resend.mails) == sent
    assert bool((campaign.all.kept.get(frozen.place(enrolment["key"], 1)) or {}).get("accepted")) is sent


def test_a_contact_whose_address_somebody_corrects_is_neither_mailed_at_the_old_nor_forgotten(campaign: Read) -> None:
    """Another one has the old address by then, and has left."""
    enrolment = campaign.enrols()
    contacts = [
        page
        for page in campaign.all.notion.pages.values()
        if page["source"] == campaign.all.sources[schema.CONTACTS].id
    ]
    campaign.edit(contacts[0], Email="bea@salon.net")
    campaign.contact(EMAIL, **{STATUS: "Unsubscribed"})
    campaign.all.clock.advance(120)
    assert "unsubscribed" in campaign.send(enrolment, 1)


@pytest.mark.parametrize("order", [("email.bounced", "email.delivered"), ("email.delivered", "email.bounced")])
def test_events_in_the_wrong_order_let_nobody_in_again(campaign: Read, order: tuple[str, ...]) -> None:
    enrolment = campaign.enrols()
    tags = {"campaign": "christmas", "sequence": "signup", "step": "1"}
    for kind in order:
        data = {"email_id": "x", "to": [EMAIL.upper()], "tags": tags, "bounce": {"type": "Permanent"}}
        found = events.understood({"type": kind, "created_at": "2026-01-05T12:00:00Z", "data": data})
        assert found is not None
        events.suppress(campaign.prefect, found)
    assert "suppressed: bounced" in campaign.send(enrolment, 2)


def test_a_wrong_key_at_resend_loses_no_mail_and_sends_none_twice(campaign: Read) -> None:
    """A refusal for certain, then the mail made anew: the template of then, once."""
    enrolment = campaign.enrols()
    campaign.all.resend.domains["hublab.test"] = "pending"
    for _ in range(2):
        with pytest.raises(ResendFailedError):
            one_mail.send(enrolment, 1)
    campaign.all.resend.domains["hublab.test"] = "verified"
    assert campaign.send(enrolment, 1) == ""
    assert one_mail.send(enrolment, 1).name == "Completed"
    assert len(campaign.all.resend.mails) == 1
