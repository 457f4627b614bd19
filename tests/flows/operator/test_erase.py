"""One command removes a person: at Prefect, in Notion, and from what is still to come."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from prefect.states import Completed, Running

from flows.campaigns.model import sequence as find_sequence
from flows.operator import erase
from flows.operator.cutover import __main__ as cutover
from flows.operator.cutover import taking
from flows.recipients import confirmation, edits, suppression
from flows.sending import frozen
from flows.services import notion_schema as schema
from flows.services.prefect_api import Prefect
from flows.webhooks import events
from sandbox.past.campaign import website_signup
from tests.flows.operator.cutover.test_takes_over import live, theirs
from tests.flows.past import SIGNUP
from tests.flows.webhooks.test_bookings import Desk, invitee
from tests.flows.webhooks.test_events import event, spooled

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from tests.flows.past import Past
    from tests.flows.world import World


def everything(prefect: Prefect) -> str:
    """What Prefect knows, in one text."""
    found: list[Any] = []
    for path in ("/flow_runs/filter", "/artifacts/filter", "/variables/filter"):
        offset = 0
        while more := prefect.client.request("POST", path, json={"limit": 200, "offset": offset}).json():
            found += more
            offset += 200
    return json.dumps(found)


def test_a_person_is_gone_and_the_others_are_not(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    email, _runs = world.enrolled("noshow", first_name="Erased-Name", calendly_event_uri="https://calendly.com/second")
    other, _ = world.enrolled("signup")
    world.run(world.enrol("onboarding", world.payload("onboarding", email=email, first_name="Erased-Name")))
    assert world.send(runs_enrolment(email, world), 1).name in {"Completed", "Skipped"}
    with Prefect() as prefect:
        confirmation.record(prefect, key := find_sequence("christmas", "onboarding").key(email), "now")
        kept = {"contact": {"at": "2025-12-01T10:00:00.000Z", "bookings": ["Booked"]}}
        prefect.remember(edits.booked_name(email), kept)
        assert email in everything(prefect)
        assert erase.main([f" {email.upper()} "]) == 0
        left = everything(prefect)
        assert suppression.causes(prefect, email) == ["Cancelled"]
    assert email not in left
    assert key not in left
    assert edits.booked_name(email) not in left
    assert "Erased-Name" not in left
    assert other in left
    for block in erase.PAGES:
        assert all(page["in_trash"] for page in world.rows(block, email)), block
    assert not any(page["in_trash"] for page in world.rows(schema.CONTACTS, other))
    told = capsys.readouterr().out
    assert "pages of Customer Projects" in told
    assert "Resend's own list" in told
    assert erase.main([email]) == 0
    assert capsys.readouterr().out.startswith("nobody has this address")


def test_whom_nobody_knows_gets_nothing_either_and_the_operator_is_told_so(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    email = world.address()
    assert erase.main([email.title()]) == 0
    told = capsys.readouterr().out
    assert told.startswith("nobody has this address, so nothing was removed; it is suppressed from now on")
    assert f"mistyped? `./hublab campaign allow {email}`" in told
    with Prefect() as prefect:
        assert suppression.causes(prefect, email) == ["Cancelled"]


def runs_enrolment(email: str, world: World) -> dict[str, Any]:
    """What the run of the first mail that is there got as `enrolment`."""
    (page,) = (
        one for one in world.rows(schema.SEQUENCE, email) if schema.read(one, "Template Type") == "No-Show Recovery"
    )
    with Prefect() as prefect:
        run = prefect.run_of(f"{schema.read(page, 'Enrolment Key')}:1")
    assert run is not None
    enrolment: dict[str, Any] = run.parameters["enrolment"]
    return enrolment


def test_a_run_in_hand_is_waited_for_and_its_records_stay_until_then(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    email, runs = world.enrolled("signup")
    with Prefect() as prefect:
        prefect.client.set_flow_run_state(runs[0].id, Running(), force=True)
        assert erase.main([email]) == 1
        told = capsys.readouterr()
        assert "in a worker's hands" in told.err
        assert "nobody has this address" not in told.out
        assert [run.id for run in world.mails(email)] == [runs[0].id]
        assert not world.record(email)["in_trash"]
        prefect.client.set_flow_run_state(runs[0].id, Completed(), force=True)
        assert erase.main([email]) == 0
        assert email not in everything(prefect)


def test_who_was_taken_over_is_gone_from_the_old_runs_too_and_the_others_can_go_back(
    past: Past, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An old run keeps its parameters, and the website's calls have theirs: no key and no tag leads to them."""
    ada, bo = past.person(3), past.person(3)
    past.run(ada.upper(), 7, datetime.now(UTC) + timedelta(days=9))
    website_signup(past.api, past.ids[SIGNUP], past.fields(ada) | {"email": f" {ada.title()} "})
    lost = past.run(ada, 2, datetime.now(UTC))
    past.end(lost, "RUNNING")
    monkeypatch.setattr(taking, "PATIENCE", 1.0)
    assert cutover.main(["--apply"]) == 1  # a worker of theirs has it
    assert erase.main([ada]) == 1
    assert "1 run is in a worker's hands" in capsys.readouterr().err
    with Prefect() as prefect:
        assert [run["id"] for run in past.mails_of(ada)] == [lost]
        past.end(lost, "CRASHED")
        assert erase.main([ada]) == 0
        assert ada not in everything(prefect).lower()
    assert cutover.main(["--apply"]) == 0
    assert cutover.main(["--back"]) == 0
    assert set(theirs(past, bo)) == {4, 5, 6, 7}
    assert past.mails_of(ada) == []
    assert cutover.main(["--apply"]) == 0
    assert set(live(past, bo)) == {4, 5, 6, 7}
    assert past.mails_of(ada) == []


def test_what_says_that_a_mail_went_out_is_gone_from_the_archive(world: World) -> None:
    email, runs = world.enrolled("signup")
    enrolment = runs[0].parameters["enrolment"]
    assert world.send(enrolment, 1).name == "Completed"
    name = frozen.place(enrolment["key"], 1)
    with Prefect() as prefect:
        assert frozen.archive(prefect, prefect.now() + timedelta(hours=2)) >= 1
        assert frozen.archived(prefect, [name])
        assert erase.main([email]) == 0
        assert name not in everything(prefect)


def test_what_is_told_later_of_a_person_who_is_gone_is_not_kept(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A mail of before is opened or bounces, its link is clicked, and a call of before is cancelled or missed."""
    email, runs = world.enrolled("signup")
    assert world.send(runs[0].parameters["enrolment"], 1).name == "Completed"
    desk = Desk(tmp_path / "desk")
    desk.told(invitee("invitee.created", email))
    assert erase.main([email]) == 0
    (mail,) = world.accepted(email)
    kinds = ("email.opened", "email.bounced", "email.complained")
    forwarder = spooled(tmp_path, [event(mail["id"], email, kind) for kind in kinds])
    forwarder.spool.put("unsubscribed", {"kind": "event", "event": events.unsubscribed(email)})
    assert forwarder.once() == 4
    late = ("invitee.created", "invitee.canceled", "invitee_no_show.created")
    desk.told(*[invitee(kind, email, minute) for minute, kind in enumerate(late, 1)])
    for block in erase.PAGES:
        assert all(page["in_trash"] for page in world.rows(block, email)), block
    with Prefect() as prefect:
        assert email not in everything(prefect)
        assert prefect.variable(suppression.booking_name(email)) is None
        assert {"Bounced", "Complained", "Cancelled"} <= set(suppression.causes(prefect, email))
    again = invitee("invitee.created", email, booking="new")
    desk.told(again | {"created_at": f"{datetime.now(UTC) + timedelta(minutes=1):%Y-%m-%dT%H:%M:%SZ}"})
    (page,) = [one for one in world.rows(schema.CONTACTS, email) if not one["in_trash"]]
    assert schema.read(page, "Booking Status") == "Booked"


def test_who_is_erased_while_mails_are_archived_is_not_kept_there(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which mails there are was read before; between two batches it waits."""
    email, runs = world.enrolled("signup")
    enrolment = runs[0].parameters["enrolment"]
    assert world.send(enrolment, 1).name == "Completed"
    name = frozen.place(enrolment["key"], 1)
    with Prefect() as prefect:
        kept = [(name, prefect.variable(name))]
        monkeypatch.setattr(prefect, "tagged", lambda _: kept)
        assert erase.main([email]) == 0
        assert frozen.archive(prefect, prefect.now() + timedelta(hours=2)) == 0
        assert name not in everything(prefect)


def test_a_person_is_gone_under_every_writing_of_the_address(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    name = f"ada{time.time_ns()}"
    asked, other, nobody = f"{name}@gmail.com", f"{name[:3]}.{name[3:]}+x@googlemail.com", f"b{name}@gmail.com"
    world.enrolled("signup", email=other, first_name="Gone-Everywhere")
    (late, *_) = world.enrolled("noshow", email=f"{name}+late@gmail.com", first_name="Gone-Everywhere")
    (page,) = world.rows(schema.SEQUENCE, late)
    world.services.notion.store.update_page(page["id"], {"in_trash": True})  # its runs alone tell of it
    world.enrolled("signup", email=nobody)
    with Prefect() as prefect:
        website = {"email": f" {other.upper()}", "first_name": "Gone-Everywhere"}
        prefect.client.create_flow_run_from_deployment(prefect.deployment(f"{SIGNUP}/{SIGNUP}"), parameters=website)
        assert erase.main([asked]) == 0
        left = everything(prefect).lower()
    assert other not in left
    assert late not in left
    assert "gone-everywhere" not in left
    assert nobody in left
    assert all(one["in_trash"] for block in erase.PAGES for one in world.rows(block, other))
    assert not world.record(nobody)["in_trash"]
    assert f"nor to {other}, {late}, which are of the same mailbox" in capsys.readouterr().out
