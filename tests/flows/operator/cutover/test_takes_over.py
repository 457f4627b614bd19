"""The production of before is taken over at a real Prefect server: the plan first, which changes nothing."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from flows.campaigns.clock import instant
from flows.campaigns.model import sequence as find_sequence
from flows.enrolment.takeover import CLAIMED, CLAIMING
from flows.operator.cutover import lock, read, stage, taking
from flows.operator.cutover.__main__ import main
from flows.operator.register import register
from flows.recipients import edits, suppression
from flows.services import notion_schema as schema
from flows.services.clients import notion_client
from flows.services.prefect_api import Prefect
from sandbox.past import campaign as before
from tests.flows.past import SCORES, SEND, SIGNUP, Past, Stopped, stopped_when
from tests.flows.test_before import run_of


def snapshot(past: Past) -> str:
    """Everything that a plan must leave alone, in one text."""
    store = past.world.services.notion.store
    deployments = [past.api.get(f"/deployments/{one}").json() for one in past.ids.values()]
    variables = past.api.post("/variables/filter", json={"limit": 200}).json()
    artifacts = past.api.post("/artifacts/count", json={}).json()
    runs = [{key: run[key] for key in ("id", "state_id", "parameters", "tags")} for run in past.runs()]
    return json.dumps([deployments, variables, artifacts, runs, store.pages], default=str, sort_keys=True)


def planned(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    status = main(["--json", *arguments])
    out = json.loads(capsys.readouterr().out)
    assert status == (1 if out["blockers"] else 0)
    return out


def test_the_plan_says_who_is_where_and_changes_nothing(past: Past, capsys: pytest.CaptureFixture[str]) -> None:
    ada, bo = past.person(3), past.person(1, Booking_Status="Booked")
    past.run(past.world.address(), 2, past.world.services.notion.store.clock.now())
    there = snapshot(past)
    found = planned(capsys)
    assert snapshot(past) == there
    assert found["blockers"] == []
    assert set(found["deployments"]) == set(past.ids)
    assert "pull_steps" in found["deployments"][SEND]
    people = {one["email"]: one for one in found["people"]}
    assert [one["is"] for one in people[ada]["mails"]] == ["out"] * 3 + ["comes"] * 4
    assert people[ada]["mails"][0]["why"].startswith("Notion ")
    assert ", Resend " in people[ada]["mails"][0]["why"]
    assert people[ada]["doubts"] == []
    assert "Booked" in " ".join(people[bo]["doubts"])
    assert [one["rule"].partition(":")[0] for one in people.values()].count("left out") == 1
    assert main([]) == 0
    words = capsys.readouterr().out
    assert f"{ada}  christmas/signup" in words
    assert "answers without a credential" in words
    assert main(["--person", ada.upper()]) == 0
    one = capsys.readouterr().out
    assert "4 christmas_email_4: comes, due" in one
    assert "would write on the record: Enrolment Key = christmas-signup-" in one
    assert bo not in one


def test_the_plan_names_a_booking_on_any_page_of_the_mailbox_and_none_of_others(
    past: Past, capsys: pytest.CaptureFixture[str]
) -> None:
    now = time.time_ns()
    one, two, three = past.person(3, f"ada{now}@salon.ca"), past.person(3, f"bo{now}@gmail.com"), past.person(3)
    past.contact(f"Ada{now}+call@Salon.CA", Booking_Status="Booked")
    past.contact(f"b.o{now}+x@googlemail.com", Booking_Status="Booked")
    past.contact(f"ada{now}0@salon.ca", Booking_Status="Booked")  # begins alike, and is somebody else
    past.contact(f"bo{now}@gmail.org", Booking_Status="Booked")
    doubts = {person["email"]: " | ".join(person["doubts"]) for person in planned(capsys)["people"]}
    assert f"Booked (ada{now}+call@salon.ca, of the same mailbox): 4 mails will be skipped" in doubts[one]
    assert f"Booked (b.o{now}+x@googlemail.com, of the same mailbox): 4 mails" in doubts[two]
    assert [doubts[person].count("of the same mailbox") for person in (one, two, three)] == [1, 1, 0]
    assert len(planned(capsys)["people"]) == 3


def test_the_plan_names_what_is_in_the_way(past: Past, capsys: pytest.CaptureFixture[str]) -> None:
    past.api.post("/work_pools/default/workers/heartbeat", json={"name": "laptop"}).raise_for_status()
    past.api.delete("/work_pools/default/workers/hublab-1")
    try:
        found = planned(capsys)
    finally:
        past.api.delete("/work_pools/default/workers/laptop")
    said = " | ".join(found["blockers"])
    assert "worker laptop polls the pool default" in said
    assert "HUBLAB_WORK_POOL" in said
    assert "no worker of this project is online" in said


def test_a_process_that_serves_a_flow_of_theirs_is_in_the_way_whatever_the_pool(
    past: Past, capsys: pytest.CaptureFixture[str]
) -> None:
    """`flow.serve()` asks for the runs of a deployment by its id, ours as well, and runs them by its own code."""
    there = past.api.get(f"/deployments/{past.ids[SEND]}").json()
    served = {part: there[part] for part in ("name", "flow_id", "entrypoint", "path")}
    past.api.delete(f"/deployments/{past.ids[SEND]}").raise_for_status()
    past.ids[SEND] = past.api.post("/deployments/", json=served).json()["id"]
    assert planned(capsys)["blockers"] == []  # nobody serves it any more

    def asked() -> Any:
        polled = {"deployment_ids": [past.ids[SEND]], "scheduled_before": "2100-01-01T00:00:00Z"}
        return past.api.post("/deployments/get_scheduled_flow_runs", json=polled).json()

    asked()
    while past.api.get(f"/deployments/{past.ids[SEND]}").json()["status"] != "READY":
        time.sleep(0.1)
    (said,) = planned(capsys)["blockers"]
    assert said.startswith(f"deployment {SEND} is in no pool, and a process of its own serves it (`flow.serve()`)")
    register("default")
    assert past.world.run(past.world.enrol("signup", past.fields(past.world.address()))).is_completed()
    assert any("enrolment" in run["parameters"] for run in asked())


def test_the_plan_names_automations_that_may_act_on_our_runs(past: Past, capsys: pytest.CaptureFixture[str]) -> None:
    """They stay: one that cancels what is late would cancel our mails too, whenever the campaign is paused."""
    late = {"type": "event", "posture": "Reactive", "threshold": 1, "within": 0, "expect": ["prefect.flow-run.Late"]}
    cancels, starts = {"type": "cancel-flow-run"}, {"type": "run-deployment", "deployment_id": past.ids[SEND]}
    wanted = {"tidy\x1b[2J": [cancels], "again": [starts, {"type": "do-nothing"}], "quiet": [{"type": "do-nothing"}]}
    made = [
        past.api.post("/automations/", json={"name": name, "trigger": late, "actions": those}).json()["id"]
        for name, those in wanted.items()
    ]
    off = {"name": "off", "trigger": late, "actions": [cancels], "enabled": False}
    made.append(past.api.post("/automations/", json=off).json()["id"])
    try:
        assert main([]) == 0
    finally:
        for one in made:
            past.api.delete(f"/automations/{one}")
    shown = capsys.readouterr().out
    assert "WARNING: automation 'again' (run-deployment) may act on the campaign's runs" in shown
    assert "(cancel-flow-run) may act on the campaign's runs" in shown
    assert "quiet" not in shown
    assert "'off'" not in shown
    assert "\x1b" not in shown


def test_the_plan_says_that_ours_take_what_is_theirs_in_a_pool_for_both(
    past: Past, capsys: pytest.CaptureFixture[str]
) -> None:
    polls = "hublab-1 of this project polls the pool default, where "
    assert f"{polls}runs of the production before are" in " | ".join(planned(capsys)["warnings"])
    taken(past)
    capsys.readouterr()
    assert f"{polls}the way back puts the runs of the production" in " | ".join(planned(capsys)["warnings"])
    back()
    assert "default, where runs of the production before are" in capsys.readouterr().out


def test_the_plan_works_before_anything_is_registered_and_refuses_without_resends_list(
    past: Past, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read, "GENTLE_SECONDS", 0.01)
    past.person(2)
    with Prefect() as prefect:
        for limit in ("notion", "resend"):
            prefect.client.delete_global_concurrency_limit_by_name(limit)
    assert len(planned(capsys)["people"]) == 1
    past.world.resend_fault("refuse", status=401, code="restricted_api_key", times=None)
    assert main([]) == 1
    assert "it could not be done" in capsys.readouterr().err


def test_signups_that_wait_are_in_the_plan(past: Past, capsys: pytest.CaptureFixture[str]) -> None:
    email = past.world.address()
    before.website_signup(past.api, past.ids[SIGNUP], past.fields(email))
    (one,) = planned(capsys)["signups"]
    assert (one["email"], one["enrolled"], one["doubt"]) == (email, False, "")


def taken(past: Past) -> None:
    assert main(["--apply"]) == 0


def key_of(email: str) -> str:
    return find_sequence("christmas", "signup").key(email)


def live(past: Past, email: str) -> dict[int, dict[str, Any]]:
    """Our runs of a person that will send, by step; no run of theirs may be left."""
    found = {}
    for run in past.mails_of(email):
        if "enrolment" not in run["parameters"]:
            assert run["state_type"] in {"CANCELLED", "COMPLETED", "CRASHED"}, str(run)
        elif run["state_type"] == "SCHEDULED":
            assert run["parameters"]["step"] not in found
            found[run["parameters"]["step"]] = run
    return found


def test_who_is_in_the_midst_is_taken_over_and_gets_each_mail_once(past: Past) -> None:
    ada = past.person(3)
    theirs = {run["parameters"]["email_number"]: run for run in past.mails_of(ada)}
    taken(past)
    ours = live(past, ada)
    assert set(ours) == {4, 5, 6, 7}
    for step, run in ours.items():
        assert instant(run["next_scheduled_start_time"]) == instant(theirs[step]["expected_start_time"])
        assert run["idempotency_key"] == f"{key_of(ada)}:{step}"
        assert {name: run["parameters"]["enrolment"]["variables"][name] for name in SCORES} == SCORES
    for run in past.mails_of(ada):
        if "enrolment" not in run["parameters"]:
            assert run["state"]["name"] == "TakenOver"
            assert key_of(ada) in run["state"]["message"]
            assert run["parameters"] == theirs[run["parameters"]["email_number"]]["parameters"]
    page = past.world.record(ada)
    assert schema.read(page, "Enrolment Key") == key_of(ada)
    assert schema.read(page, "Contact") == [{"id": past.world.rows(schema.CONTACTS, ada)[0]["id"]}]
    with Prefect() as prefect:
        # One that is to come, and one that is out.
        ordered = [prefect.run_of(f"{key_of(ada)}:{step}") for step in (4, 1)]
    for one in ordered:
        assert one
        past.world.run(one)
    assert [mail["key"] for mail in past.world.accepted(ada)] == [None, None, None, f"{key_of(ada)}:4"]
    assert schema.read(past.world.record(ada), "Email 4 Sent")


def test_again_and_again_without_harm(past: Past, capsys: pytest.CaptureFixture[str]) -> None:
    past.person(5)
    taken(past)
    there = [(run["id"], run["state_id"]) for run in past.runs()]
    capsys.readouterr()
    taken(past)
    assert "nothing was left to do" in capsys.readouterr().out
    assert [(run["id"], run["state_id"]) for run in past.runs()] == there


def test_a_second_signup_of_who_was_taken_over_enrols_nobody_again(past: Past) -> None:
    ada = past.person(3)
    taken(past)
    run = run_of(before.website_signup(past.api, past.ids[SIGNUP], past.fields(ada.upper())))
    assert past.world.run(run).is_completed()
    assert len(live(past, ada)) == 4
    assert len(past.world.rows(schema.SEQUENCE, ada)) == 1


def test_a_signup_in_the_midst_waits_until_it_is_settled_who_enrols_whom(past: Past) -> None:
    ada = past.person(3)
    register("default")
    with Prefect() as prefect:
        stage.enter(prefect, CLAIMING)
    new = past.world.address()
    waiting = [past.world.enrol("signup", past.fields(email)) for email in (ada, new)]
    for run in waiting:
        assert past.world.run(run).name == "AwaitingRetry"
    taken(past)
    for run in waiting:
        assert past.world.run(run).is_completed()
    assert set(live(past, ada)) == {4, 5, 6, 7}
    assert len(past.world.rows(schema.SEQUENCE, ada)) == 1
    assert set(live(past, new)) == {1, 2, 3, 4, 5, 6, 7}


def test_signups_that_nobody_came_to_are_enrolled_by_this_release(past: Past) -> None:
    waits, lost = past.world.address(), past.world.address()
    ids = [before.website_signup(past.api, past.ids[SIGNUP], past.fields(email)) for email in (waits, lost)]
    past.end(ids[1], "CRASHED")
    taken(past)
    assert str(run_of(ids[0]).state_name) == "TakenOver"
    for email in (waits, lost):
        enrolled_here(past, email)


def test_a_signup_that_waited_for_too_long_is_withdrawn_before_handlers_go_on(past: Past) -> None:
    """Under our deployment it would enrol whoever it names, as any call of the website."""
    email, due = past.world.address(), datetime.now(UTC) - timedelta(days=10)
    waits = before.scheduled_mail(past.api, past.ids[SIGNUP], past.fields(email), due)
    with pytest.raises(Stopped), stopped_when(lambda done: done[-1].endswith(f" {CLAIMED}")):
        main(["--apply"])
    assert str(run_of(waits).state_name) == "TakenOver"
    with Prefect() as prefect:
        prefect.forget(f"{lock.NAME}{lock.holders(prefect)[0].number}")
    taken(past)
    assert not live(past, email)
    with Prefect() as prefect:
        assert prefect.run_of(key_of(email)) is None


def test_a_mail_of_theirs_that_only_waited_here_has_not_begun(past: Past, capsys: pytest.CaptureFixture[str]) -> None:
    """Stopped in the midst: under our deployment it was begun, sent nothing, and waits. The website's mail is none."""
    ada = past.person(3, seconds=-120)
    (fourth,) = [run for run in past.mails_of(ada) if run["parameters"]["email_number"] == 4]
    past.mail(ada, 0, datetime.now(UTC))
    with pytest.raises(Stopped), stopped_when(lambda done: done[-1].endswith(f" {CLAIMED}")):
        main(["--apply"])
    with Prefect() as prefect:
        prefect.forget(f"{lock.NAME}{lock.holders(prefect)[0].number}")
    assert past.world.run(run_of(fourth["id"])).name == "AwaitingRetry"
    capsys.readouterr()
    (shown,) = planned(capsys)["people"]
    assert [one["is"] for one in shown["mails"]] == ["out"] * 3 + ["comes"] * 4
    taken(past)
    assert set(live(past, ada)) == {4, 5, 6, 7}


@pytest.mark.parametrize("begins", [False, True])
def test_a_mail_of_a_deployment_that_is_not_renewed_goes_out_on_one_side_alone(
    past: Past, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *, begins: bool
) -> None:
    """Of the same flow, under another name: what its worker takes meanwhile is sent by the code of before."""
    monkeypatch.setattr(taking, "PATIENCE", 0.0)
    ada = past.person(3)
    (fourth,) = [run for run in past.mails_of(ada) if run["parameters"]["email_number"] == 4]
    past.api.delete(f"/flow_runs/{fourth['id']}")
    other = past.deploy_beside(SEND, "staging")
    run = before.scheduled_mail(past.api, other, fourth["parameters"], datetime.now(UTC) + timedelta(hours=1))
    ours, key = list[str](), f"{key_of(ada)}:4"
    warned = " | ".join(planned(capsys)["warnings"])
    assert f"deployment staging ({other}) is one more of the campaign's flows" in warned

    def take_it(done: list[str]) -> bool:
        """Their worker comes at the worst moment: before ours is there, or just after."""
        if done[-1].endswith(f" {key}") or (begins and done[-1].endswith(f" {key_of(ada)}")):
            pending = past.api.post(f"/flow_runs/{run}/set_state", json={"state": {"type": "PENDING"}}).json()
            ours.append(pending["status"])
        return False

    try:
        with stopped_when(take_it):
            assert main(["--apply"]) == (1 if begins else 0)
    finally:
        past.api.delete(f"/deployments/{other}")
    assert ours == (["ACCEPT"] if begins else ["ABORT"])
    assert (4 in {one["parameters"]["step"] for one in live_of(past, ada)}) is not begins


def test_runs_and_deployments_move_to_a_pool_of_our_own_and_back(
    past: Past, capsys: pytest.CaptureFixture[str]
) -> None:
    ada = past.person(5)
    past.api.post("/work_pools/default/workers/heartbeat", json={"name": "laptop"}).raise_for_status()
    past.api.post("/work_pools/", json={"name": "ours", "type": "process"}).raise_for_status()
    past.worker("ours")

    def pools(runs: Any) -> set[str]:
        deployed = [past.api.get(f"/deployments/{one}").json()["work_pool_name"] for one in past.ids.values()]
        return {run["work_pool_name"] for run in runs} | set(deployed)

    try:
        assert main(["--apply"]) == 1
        told = capsys.readouterr().err
        assert "nothing was changed" in told
        assert "worker laptop polls the pool default and would fail our runs: stop it, or give the campaign a" in told
        assert "hublab-1" not in told
        assert not any("enrolment" in run["parameters"] for run in past.runs())
        warned = " ".join(planned(capsys, "--pool", "ours")["warnings"])
        assert "the deployments move from the pool default (polled by hublab-1, laptop) to ours" in warned
        assert main(["--apply", "--pool", "ours"]) == 0
        assert pools(live(past, ada).values()) == {"ours"}
        new = past.world.enrol("signup", past.fields(past.world.address()))
        assert past.world.run(new).is_completed()
        assert pools(live(past, new.parameters["payload"]["email"]).values()) == {"ours"}
        assert main(["--back", "--pool", "ours"]) == 0
        for email in (ada, new.parameters["payload"]["email"]):
            assert pools(theirs(past, email).values()) == {"default"}
    finally:
        past.api.delete("/work_pools/default/workers/laptop")
        register("default")
        past.api.delete("/work_pools/ours")


def test_a_mail_in_their_workers_hands_is_waited_for(past: Past, monkeypatch: pytest.MonkeyPatch) -> None:
    ada = past.person(3)
    (fourth,) = [run for run in past.mails_of(ada) if run["parameters"]["email_number"] == 4]
    past.end(fourth["id"], "RUNNING")
    with monkeypatch.context() as patch:
        patch.setattr(taking, "PATIENCE", 0.0)
        assert main(["--apply"]) == 1
    assert not live_of(past, ada)
    page = past.world.record(ada)
    past.mail(ada, 4, datetime.now(UTC))
    past.world.edit(schema.SEQUENCE, page, Email_4_Sent=datetime.now(UTC).isoformat())
    past.end(fourth["id"], "COMPLETED")
    taken(past)
    assert set(live(past, ada)) == {5, 6, 7}


def live_of(past: Past, email: str) -> list[dict[str, Any]]:
    return [run for run in past.mails_of(email) if "enrolment" in run["parameters"]]


def enrolled_here(past: Past, email: str) -> None:
    """This release's handler enrols whoever signed up, for all seven mails."""
    with Prefect() as prefect:
        run = prefect.run_of(key_of(email))
    assert run
    assert past.world.run(run).is_completed()
    assert set(live(past, email)) == {1, 2, 3, 4, 5, 6, 7}


def back() -> None:
    assert main(["--back"]) == 0


def theirs(past: Past, email: str) -> dict[int, dict[str, Any]]:
    """The runs of theirs that wait for their time, by step; none of ours may be left."""
    assert not [run for run in live_of(past, email) if run["state_type"] == "SCHEDULED"]
    found = {}
    for run in past.mails_of(email):
        if "enrolment" not in run["parameters"] and run["state_type"] == "SCHEDULED":
            assert run["parameters"]["email_number"] not in found
            found[run["parameters"]["email_number"]] = run
    return found


def test_everything_goes_back_at_the_old_times_as_theirs_takes_it(past: Past) -> None:
    nightly = {"schedule": {"cron": "0 9 * * *", "timezone": "America/Toronto"}, "slug": "nightly", "active": False}
    nightly |= {"parameters": {"email_number": 1}}
    past.api.post(f"/deployments/{past.ids[SEND]}/schedules", json=[nightly]).raise_for_status()
    there = {name: past.api.get(f"/deployments/{one}").json() for name, one in past.ids.items()}
    ada = past.person(3)
    dues = {number: run["expected_start_time"] for number, run in theirs(past, ada).items()}
    taken(past)
    new = past.world.address()
    assert past.world.run(past.world.enrol("signup", past.fields(new))).is_completed()
    (first, *_) = past.world.mails(new)
    past.world.run(first)
    waiting = past.world.enrol("signup", past.fields(past.world.address()))
    back()
    for name, one in past.ids.items():
        now = past.api.get(f"/deployments/{one}").json()
        assert {part: now[part] for part in stage.PARTS} == {part: there[name][part] for part in stage.PARTS}
        assert (now["global_concurrency_limit"] or {}).get("limit") == 3
        shown, was = (
            [{part: each[part] for part in nightly} for each in one["schedules"]] for one in (now, there[name])
        )
        assert shown == was
        assert len(shown) == (name == SEND)
    again = theirs(past, ada)
    assert {number: instant(run["expected_start_time"]) for number, run in again.items()} == {
        number: instant(due) for number, due in dues.items()
    }
    for number, run in again.items():
        wanted = past.fields(ada) | {"email_number": number, "segment": "CRITICAL"}
        assert {name: value for name, value in run["parameters"].items() if name in wanted} == wanted
        assert set(run["parameters"]) <= set(before.FLOWS[SEND][0])
        assert run["work_queue_name"] == "of-before"
    assert set(theirs(past, new)) == {2, 3, 4, 5, 6, 7}  # the first is out
    (handler,) = [run for run in past.runs(SIGNUP) if run["idempotency_key"] == f"back:{waiting.idempotency_key}"]
    assert handler["parameters"] == past.fields(waiting.parameters["payload"]["email"])
    with Prefect() as prefect:
        assert stage.phase(prefect) == ("", None)
        assert not stage.kept(prefect)
    assert main(["--back"]) == 1  # there is nothing to go back to


def test_who_registered_first_is_taken_over_too_and_told_that_no_way_leads_back(
    past: Past, capsys: pytest.CaptureFixture[str]
) -> None:
    ada = past.person(5)
    register("default")
    assert "no way leads back" in " ".join(planned(capsys)["warnings"])
    taken(past)
    assert set(live(past, ada)) == {6, 7}
    assert main(["--back"]) == 1
    assert "nothing was taken over" in capsys.readouterr().err
    assert set(live(past, ada)) == {6, 7}


def test_back_and_taken_over_again(past: Past) -> None:
    ada = past.person(3)
    taken(past)
    waiting = past.world.enrol("signup", past.fields(past.world.address()))
    back()
    fourth = theirs(past, ada)[4]
    past.end(fourth["id"], "COMPLETED")
    past.mail(ada, 4, datetime.now(UTC))
    taken(past)
    assert set(live(past, ada)) == {5, 6, 7}
    assert run_of(str(waiting.id)).state_name == "Scheduled"  # its enrolment goes on with us
    back()
    assert set(theirs(past, ada)) == {5, 6, 7}
    taken(past)
    assert set(live(past, ada)) == {5, 6, 7}


def planned_words(capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    main([])
    return capsys.readouterr().out


def test_who_has_left_or_booked_is_not_handed_to_those_who_would_not_ask(
    past: Past, capsys: pytest.CaptureFixture[str]
) -> None:
    left, gone, booked = past.person(3), past.person(3), past.person(3, Booking_Status="Booked")
    taken(past)
    with Prefect() as prefect:
        suppression.record(prefect, left, "Unsubscribed", datetime.now(UTC).isoformat(), "test")
    past.world.edit(schema.SEQUENCE, past.world.record(gone), Cancelled=True)
    back()
    assert theirs(past, left) == {}
    assert theirs(past, gone) == {}
    assert theirs(past, booked) == {}
    said = capsys.readouterr().out
    assert f"{booked}  christmas/signup  mail 4 was not handed back: a booking is made: Booked" in said
    assert f"{left}  christmas/signup  mail 7 was not handed back: the address is suppressed" in said
    taken(past)  # and comes again: this release asks whom it sends to
    assert all(set(live(past, one)) == {4, 5, 6, 7} for one in (booked, left, gone))
    assert "was not handed back" not in planned_words(capsys)


def test_who_has_booked_or_was_stopped_on_another_page_of_the_mailbox_is_not_handed_over(
    past: Past, capsys: pytest.CaptureFixture[str]
) -> None:
    """This release skips these mails as well, whichever page of a mailbox says so."""
    one, two, three = (past.person(3, f"ada.{time.time_ns()}@salon.ca") for _ in range(3))
    taken(past)
    local = one.partition("@")[0]
    past.contact(f"{local}+call@salon.ca", Booking_Status="Booked")
    past.page(two, datetime.now(UTC), Cancelled=True)  # a copy, or one that somebody made by hand
    back()
    said = capsys.readouterr().out
    assert (theirs(past, one), theirs(past, two)) == ({}, {})
    assert f"{one}  christmas/signup  mail 4 was not handed back: a booking is made: Booked" in said
    assert f"{two}  christmas/signup  mail 4 was not handed back: cancelled in Notion, on another record" in said
    assert set(theirs(past, three)) == {4, 5, 6, 7}


def test_the_plan_says_whom_another_page_of_the_mailbox_keeps_and_writes_nothing(
    past: Past, capsys: pytest.CaptureFixture[str]
) -> None:
    ada = past.person(3, f"ada.{time.time_ns()}@salon.ca")
    taken(past)
    past.contact(ada.replace("@", "+call@"), Booking_Status="Booked")
    with Prefect() as prefect, notion_client(prefect, prefect.settings()) as notion:
        edits.look(prefect, notion, prefect.now())  # as the reader does each minute
    there = snapshot(past)
    assert "the way back would not hand over: 4 × a booking is made: Booked" in planned_words(capsys)
    assert snapshot(past) == there


WHOLE = {"enrolment": {"key": "k", "campaign": "christmas", "sequence": "signup", "email": "a@b.ca", "page": "p"}}
BY_HAND: dict[str, dict[str, Any]] = {
    "no enrolment in it": {"enrolment": {}, "step": 1},
    "a text": {"enrolment": "x", "step": 1},
    "nothing": {"enrolment": None, "step": None},
    "no step": WHOLE | {"step": "x"},
    "a step that is none": WHOLE | {"step": 99},
    "half": WHOLE | {"step": 1},
    "a plan that is none": {"enrolment": WHOLE["enrolment"] | {"variables": {}, "plan": 5}, "step": 1},
}


def test_what_somebody_has_started_by_hand_stands_in_nobodys_way(
    past: Past, capsys: pytest.CaptureFixture[str]
) -> None:
    """Prefect's own page has a button for it: such a run fails, and the way there and back go on without it."""
    ada = past.person(3)
    taken(past)
    signups: list[dict[str, Any]] = [{"payload": "x"}, {"payload": None}, {"payload": {}, "received_at": 5}]
    started = [(SEND, given) for given in BY_HAND.values()] + [(SIGNUP, given) for given in signups]
    for number, (name, given) in enumerate(started):
        # The key tells them apart here: of runs without one, one stands for all.
        body = {"parameters": given, "idempotency_key": f"by-hand-{number}", "enforce_parameter_schema": False}
        past.api.post(f"/deployments/{past.ids[name]}/create_flow_run", json=body).raise_for_status()
    failed = [run["id"] for run in past.runs() if run["parameters"].get("enrolment") in ({}, "x")]
    for one in failed:
        past.end(one, "FAILED")
    assert ada in planned_words(capsys)
    taken(past)
    back()
    assert set(theirs(past, ada)) == {4, 5, 6, 7}
    taken(past)
    assert set(live(past, ada)) == {4, 5, 6, 7}


def test_a_mail_that_resend_has_accepted_is_not_handed_back_though_nothing_else_tells(past: Past) -> None:
    """Its subject line was edited since, and Notion had no mark of it when the operator turned back."""
    ada = past.person(3, seconds=-60)
    taken(past)
    fourth = live(past, ada)[4]
    past.world.notion_fault("refuse", method="PATCH", path="/pages/", times=None)
    assert past.world.run(run_of(fourth["id"])).name == "AwaitingRetry"
    past.world.services.notion.book.rules.clear()
    past.world.accepted(ada)[-1]["payload"]["subject"] = "Old words"
    back()
    assert 4 not in theirs(past, ada)
    assert schema.read(past.world.record(ada), "Email 4 Sent")


def test_a_mail_that_is_out_and_not_recorded_is_not_handed_back(past: Past) -> None:
    ada = past.person(3)
    taken(past)
    past.mail(ada, 4, datetime.now(UTC))  # accepted, and its run was stopped before it could say so
    back()
    assert set(theirs(past, ada)) == {5, 6, 7}
    assert schema.read(past.world.record(ada), "Email 4 Sent")
