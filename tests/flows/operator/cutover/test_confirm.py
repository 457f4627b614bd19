"""A cut-over, and its way back, where a signup is to be confirmed: who has not gets nothing, and nobody is lost."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from flows.campaigns import model
from flows.operator.cutover.__main__ import main
from flows.operator.register import register
from flows.recipients import confirmation
from flows.services.prefect_api import Prefect
from sandbox.past import campaign as before
from sandbox.standins.workspace import text
from tests.flows.operator.cutover.test_takes_over import back, enrolled_here, key_of, live, planned_words, taken, theirs
from tests.flows.past import SIGNUP, Past
from tests.flows.test_before import run_of

if TYPE_CHECKING:
    from prefect.client.schemas.objects import FlowRun


@pytest.fixture
def asking(past: Past, monkeypatch: pytest.MonkeyPatch) -> Past:
    """The signup asks for a confirmation, and its first mail has the link."""
    loaded = model._loaded
    key = ("christmas", "signup")
    monkeypatch.setattr(model, "_loaded", lambda at: loaded(at) | {key: replace(loaded(at)[key], confirm=True)})
    page, store = past.world.template("christmas_email_1"), past.world.services.notion.store
    body = '<p><a href="{{confirm_url}}">Yes, {{first_name}}</a> <a href="{{unsubscribe_url}}">No</a></p>'
    store.update_page(page["id"], {"properties": {"Email Body HTML": {"rich_text": text(body)}}})
    return past


def signed_up(past: Past, email: str) -> list[FlowRun]:
    """Somebody whom this release has enrolled; the runs of the mails."""
    assert past.world.run(past.world.enrol("signup", past.fields(email))).is_completed()
    return past.world.mails(email)


def confirm(email: str) -> None:
    with Prefect() as prefect:
        confirmation.record(prefect, key_of(email), datetime.now(UTC).isoformat())


def handed(past: Past) -> list[dict[str, Any]]:
    """The signups that theirs would enrol."""
    return [run for run in past.runs(SIGNUP) if "payload" not in run["parameters"] and run["state_type"] == "SCHEDULED"]


def test_who_has_not_confirmed_gets_nothing_of_theirs_and_all_of_it_here_again(
    asking: Past, capsys: pytest.CaptureFixture[str]
) -> None:
    taken(asking)
    asked, fresh, sure = (asking.world.address() for _ in range(3))
    for email in (asked, sure):
        assert asking.world.run(signed_up(asking, email)[0]).is_completed()
    signed_up(asking, fresh)  # not even the first mail is out, and its link would lead to who does not know of it
    confirm(sure)
    said = planned_words(capsys)
    assert "the way back would not hand over: 13 × the enrolment is not confirmed" in said
    back()
    assert (theirs(asking, asked), theirs(asking, fresh)) == ({}, {})
    assert set(theirs(asking, sure)) == {2, 3, 4, 5, 6, 7}
    told = capsys.readouterr().out
    assert f"{asked}  christmas/signup  mail 2 was not handed back: the enrolment is not confirmed" in told
    assert f"{fresh}  christmas/signup  mail 1 was not handed back: the enrolment is not confirmed" in told
    taken(asking)
    assert set(live(asking, asked)) == {2, 3, 4, 5, 6, 7}
    assert set(live(asking, fresh)) == {1, 2, 3, 4, 5, 6, 7}
    assert "was not handed back" not in planned_words(capsys)


def test_a_signup_that_waits_is_not_enrolled_by_those_who_would_not_ask_and_is_here_again(
    asking: Past, capsys: pytest.CaptureFixture[str]
) -> None:
    """One came by the webhooks, one from the website into our pool; both wait for a worker."""
    asking.api.post("/work_pools/", json={"name": "ours", "type": "process"}).raise_for_status()
    asking.worker("ours")
    try:
        assert main(["--apply", "--pool", "ours"]) == 0
        hooked, called = asking.world.address(), asking.world.address()
        waiting = asking.world.enrol("signup", asking.fields(hooked))
        before.website_signup(asking.api, asking.ids[SIGNUP], asking.fields(called))
        back()
        assert handed(asking) == []
        told = capsys.readouterr().out
        for email in (hooked, called):
            assert f"{email}  christmas/signup  a signup was not handed back: the enrolment is not confirmed" in told
        assert main(["--apply", "--pool", "ours"]) == 0
        assert run_of(str(waiting.id)).state_name == "Scheduled"
        for email in (hooked, called):
            enrolled_here(asking, email)
        assert "was not handed back" not in planned_words(capsys)
    finally:
        register("default")
        asking.api.delete("/work_pools/ours")


def test_whom_theirs_has_never_asked_is_not_waited_for_and_who_is_asked_here_is(asking: Past) -> None:
    """In the midst the link's mail is out, without a link; of somebody new it goes out here."""
    midst, new = asking.person(3), asking.person(0, seconds=-60)
    taken(asking)
    for email in (midst, new):
        for run in sorted(live(asking, email).items()):
            with Prefect() as prefect:
                asking.world.run(prefect.client.read_flow_run(run[1]["id"]))
    assert len(asking.world.accepted(midst)) == 7
    (first,) = asking.world.accepted(new)
    assert "/confirm/" in first["payload"]["html"]


def test_whom_theirs_has_never_asked_goes_back_to_theirs(asking: Past) -> None:
    midst = asking.person(3)
    taken(asking)
    back()
    assert set(theirs(asking, midst)) == {4, 5, 6, 7}
