"""Alerts: told once, bundled, to a real service on the loopback; no address, no secret in them; a silence is seen."""

from __future__ import annotations

import json
import os
import uuid
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from prefect.states import Crashed, Failed, Scheduled

from flows import watch_flow
from flows.operator import alerting, concerns, heartbeat, operate, register, retry_failed, summary, watch_schedule
from flows.operator.alerting import VARIABLE, tell
from flows.operator.campaign_status import Status
from flows.operator.concerns import Concern
from flows.recipients import suppression
from flows.services import notion_schema as schema
from flows.services.prefect_api import Prefect
from flows.services.settings import Settings
from flows.watch_flow import watch
from tests.answering import answering

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prefect.client.schemas.objects import State

    from tests.flows.world import World

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)


class Service:
    """What Apprise's `json://` talks to: keeps what it is told; `status` is its answer. `beats` are calls of a path."""

    def __init__(self) -> None:
        self.told: list[dict[str, Any]] = []
        self.beats: list[str] = []
        self.status = 200
        self.url = self.heart = ""

    def answer(self, request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            self.beats.append(request.url.path)
        elif self.status == 200:
            self.told.append(json.loads(request.content))
        return httpx.Response(self.status)

    @contextmanager
    def listening(self) -> Iterator[None]:
        with answering(self.answer) as url:
            self.url, self.heart = (
                url.replace("http://", "json://user:pass-word-1@") + "/",
                f"{url}/ping/heart-secret-1",
            )
            yield


@pytest.fixture
def service(world: World) -> Iterator[Service]:
    """A service that listens, and that ALERT_URLS names; nothing was told before."""
    service = Service()
    with Prefect() as prefect, service.listening():
        world.setenv("ALERT_URLS", service.url)
        prefect.forget(VARIABLE)
        prefect.forget(summary.VARIABLE)
        yield service
        prefect.forget(VARIABLE)


def told(world: World, found: list[Concern], now: datetime = NOW) -> str:
    with Prefect() as prefect:
        return tell(prefect, world.settings, found, now)


def failures(*keys: str) -> Concern:
    return Concern(
        "failed", f"{len(keys)} failed", {key: f"mail {key}" for key in keys}, "`./hublab campaign retry-failed`"
    )


SILENT = Concern("silent", "1 worker silent", {"w-1": "w-1, for 7 minutes"}, "`./hublab status`")


def test_every_kind_of_concern_is_among_what_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = ("late", "postponed", "silent", "customers", "suppressed", "alarms", "earlier")
    for kind in kinds:
        found = concerns.Concern(kind, kind, {"one": "a line"}, "a remedy")
        monkeypatch.setattr(concerns, kind, lambda *_, found=found: found)
    monkeypatch.setattr(concerns, "ended_badly", lambda *_: [concerns.Concern("failed", "1 failed", {"x": "y"}, "")])
    asked: Any = None
    assert {one.kind for one in concerns.concerns(asked, "default", datetime.now(UTC))} == {*kinds, "failed"}


def test_what_was_told_has_room_in_a_variable_however_much_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: dict[str, Any] = {}
    asked: Any = SimpleNamespace(variable=kept.get, remember=kept.__setitem__)
    monkeypatch.setattr(alerting, "deliver", lambda *_: (1, "URL 1 of ALERT_URLS did not take it; " * 100))
    monkeypatch.setattr(concerns, "workers", lambda *_: [worker(number) for number in range(60)])
    silent = concerns.silent(asked, "default", NOW)
    assert len(silent.items) == alerting.MANY
    kinds = {"failed": 8, "lost": 8, "customers": 8, "suppressed": 8, "alarms": 60}
    found = [Concern(kind, kind, {f"{n:0{size}}": "x" for n in range(99)}, "") for kind, size in kinds.items()]
    found += [Concern("postponed", "", {f"{n:040}": "x" for n in range(5)}, ""), silent]
    tell(asked, Settings({}), found, NOW)
    assert len(json.dumps(kept[VARIABLE])) < 4_900


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("nonsense", "1 of the words in ALERT_URLS are no URL; URL 1 of ALERT_URLS is not one that Apprise knows"),
        ("json://127.0.0.1:1/, hooks.slack.com/services/a", "1 of the words in ALERT_URLS are no URL; URL 1 of"),
        ("json://127.0.0.1:1/,json://127.0.0.1:1/ , json://127.0.0.1:1/?:to=a,b", "URL 1 of ALERT_URLS (JSON) did not"),
    ],
)
def test_a_word_of_alert_urls_that_is_no_url_is_said(given: str, said: str) -> None:
    taken, wrong = alerting.deliver(Settings({"alert-urls": given}), "a", "b")
    assert taken == 0
    assert wrong.startswith(said)


def worker(number: int) -> dict[str, Any]:
    return {"name": f"{'x' * 100}-{number}", "last_heartbeat_time": (NOW - timedelta(hours=1)).isoformat()}


def test_what_is_new_is_told_once_in_one_message(world: World, service: Service) -> None:
    assert told(world, [failures("a", "b"), SILENT]) == "told: 2 failed, 1 worker silent"
    (message,) = service.told
    assert message["title"] == "Hublab: 2 failed; 1 worker silent"
    assert all(
        part in message["message"]
        for part in ("mail a", "mail b", "w-1, for 7 minutes", "`./hublab campaign retry-failed`")
    )
    assert told(world, [failures("a", "b"), SILENT], NOW + timedelta(days=1)) == "nothing new"
    assert len(service.told) == 1


def test_within_the_gap_nothing_is_sent_and_nothing_is_lost(world: World, service: Service) -> None:
    told(world, [failures("a")])
    for minutes in (10, 20, 29):
        assert told(world, [failures("a", "b"), SILENT], NOW + timedelta(minutes=minutes)) == "2 to be told later"
    assert told(world, [failures("a", "b"), SILENT], NOW + timedelta(minutes=30)).startswith("told")
    assert len(service.told) == 2
    assert "mail b" in service.told[1]["message"]
    assert "mail a" not in service.told[1]["message"]


def test_what_was_over_and_comes_again_is_told_again(world: World, service: Service) -> None:
    for hours, found in enumerate(([SILENT], [], [SILENT])):
        told(world, found, NOW + timedelta(hours=hours))
    assert len(service.told) == 2


def test_a_flood_of_failures_is_one_message_with_counts(world: World, service: Service) -> None:
    told(world, [failures(*(f"{number:04}" for number in range(1_000)))])
    (message,) = service.told
    assert message["title"] == "Hublab: 1000 failed"
    assert message["message"].count("mail ") == alerting.SHOWN
    assert "and more: `./hublab campaign status`" in message["message"]
    assert len(message["message"]) < alerting.MOST


def test_neither_an_address_nor_a_secret_is_told(world: World, service: Service) -> None:
    secret = world.settings.get("notion-token")
    found = Concern("failed", "1 failed", {"a": f"<Ada.B+x@hublab.test>: token {secret}, {service.url}"}, "mend it")
    told(world, [found])
    text = json.dumps(service.told)
    assert "(address)" in text
    assert not [part for part in ("hublab.test", "Ada", secret, "pass-word-1") if part in text]


def test_what_could_not_be_told_is_told_later_and_status_says_so(world: World, service: Service) -> None:
    hour = timedelta(hours=1)
    service.status = 500
    assert "not told: URL 1 of ALERT_URLS (JSON) did not take it" in told(world, [SILENT])
    with Prefect() as prefect:
        said = alerting.trouble(prefect, world.settings, NOW, hour)
        assert "an alert could not be delivered: URL 1 of ALERT_URLS (JSON)" in said
        assert "pass-word-1" not in said
        assert Status(NOW, [], alerts=said).needs_somebody
        service.status = 200
        assert told(world, [SILENT], NOW + hour).startswith("told")
        assert alerting.trouble(prefect, world.settings, NOW + hour, hour) == ""
        # and so is a watch that runs no more
        assert "nobody has looked" in alerting.trouble(prefect, world.settings, NOW + 3 * hour, hour)


def test_who_heard_of_it_hears_it_once_though_another_does_not(world: World, service: Service) -> None:
    world.setenv("ALERT_URLS", f"{service.url} json://127.0.0.1:9/ nonsense://x")
    said = told(world, [SILENT])
    assert "URL 2 of ALERT_URLS (JSON) did not take it" in said
    assert "URL 3 of ALERT_URLS is not one that Apprise knows" in said
    told(world, [SILENT], NOW + timedelta(hours=1))
    assert len(service.told) == 1


def test_alert_test_sends_one_and_says_whether_it_was_taken(
    world: World, service: Service, capsys: pytest.CaptureFixture[str]
) -> None:
    assert alerting.main([]) == 0
    assert service.told[0]["title"] == "Hublab: a test"
    service.status = 403
    assert alerting.main([]) == 1
    assert "URL 1 of ALERT_URLS (JSON) did not take it" in capsys.readouterr().err
    world.setenv("ALERT_URLS", "")
    assert alerting.main([]) == 1
    assert "add ALERT_URLS to .env, `./hublab campaign secrets`" in capsys.readouterr().err


def kinds(now: datetime | None = None) -> dict[str, Concern]:
    with Prefect() as prefect:
        return {one.kind: one for one in concerns.concerns(prefect, "default", now or datetime.now(UTC))}


def told_apart(kind: str, now: datetime | None = None) -> list[str]:
    found = kinds(now).get(kind)
    return list(found.items.values()) if found else []


def test_failed_and_given_up_runs_are_concerns_and_a_crash_only_once_nobody_runs_it_again(world: World) -> None:
    _, (first, second, third) = world.enrolled("noshow")
    with Prefect() as prefect:
        ends: list[State[Any]] = [Failed(message="template x is empty"), Crashed(name="GaveUp", message="ten times")]
        for run, state in zip((first, second, third), [*ends, Crashed(message="killed")], strict=True):
            prefect.client.set_flow_run_state(run.id, state, force=True)
        found = kinds()
        assert f"{first.name}: template x is empty" in found["failed"].items.values()
        assert f"{second.name}: ten times" in found["lost"].items.values()
        assert f"{third.name}: killed" not in found["lost"].items.values()
        later = kinds(datetime.now(UTC) + timedelta(minutes=11))
        assert f"{third.name}: killed" in later["lost"].items.values()
        before = set(found["failed"].items)
        prefect.client.set_flow_run_state(first.id, Scheduled(), force=True)
        assert (
            f"{first.name}: template x is empty"
            not in kinds()["failed" if "failed" in kinds() else "lost"].items.values()
        )
        prefect.client.set_flow_run_state(first.id, Failed(message="template x is empty"), force=True)
        assert set(kinds()["failed"].items) - before  # failed once more: new


def test_late_and_postponed_runs_are_concerns(world: World) -> None:
    _, (first, second, _) = world.enrolled("noshow")
    due = datetime.now(UTC) - timedelta(minutes=20)
    with Prefect() as prefect:
        prefect.client.set_flow_run_state(first.id, Scheduled(scheduled_time=due), force=True)
        waits: State[Any] = Scheduled(
            name="AwaitingRetry",
            scheduled_time=datetime.now(UTC) + timedelta(minutes=30),
            message="postponed: send: 429 daily_quota_exceeded",
        )
        prefect.client.set_flow_run_state(second.id, waits, force=True)
    found = kinds()
    assert "due for more than 15 minutes" in found["late"].items["late"]
    assert "1 because of: a quota is used up" in found["postponed"].items.values()


def test_a_worker_that_was_there_and_is_silent_is_a_concern(world: World) -> None:
    name = f"worker-{uuid.uuid4().hex[:8]}"
    with Prefect() as prefect:
        prefect.client.send_worker_heartbeat(work_pool_name="default", worker_name=name)
    now = datetime.now(UTC)
    try:
        assert f"{name}, for" not in str(told_apart("silent", now))
        assert f"{name}, for 7 minutes" in told_apart("silent", now + timedelta(minutes=7))
        assert f"{name}, for" not in str(told_apart("silent", now + timedelta(days=2)))
    finally:
        with httpx.Client(base_url=os.environ["PREFECT_API_URL"]) as api:  # it would be a stranger to other tests
            api.delete(f"/work_pools/default/workers/{name}").raise_for_status()


def test_a_complaint_is_a_concern_without_the_address_and_an_unsubscribe_is_none(world: World) -> None:
    complained, left = world.address(), world.address()
    with Prefect() as prefect:
        suppression.record(prefect, complained, "Complained", "2026-01-02T03:04:05Z", "x")
        suppression.record(prefect, left, "Unsubscribed", "2026-01-02T03:04:05Z", "x")
    found = kinds()["suppressed"].items
    keys = [suppression.record_name(one, "Complained").partition("-")[2][:8] for one in (complained, left)]
    assert found[keys[0]] == "complained, 2026-01-02T03:04"
    assert keys[1] not in found


def test_mails_of_the_earlier_system_need_a_decision(world: World) -> None:
    with Prefect() as prefect:
        run = prefect.start_once(
            "christmas-send-email/christmas-send-email",
            {"email": "a@b.c", "email_number": 3},
            uuid.uuid4().hex,
            due=datetime.now(UTC) + timedelta(days=2),
            tags=("christmas", "christmas-2025"),
        )
        assert kinds()["earlier"].title == "1 mail of the earlier system waits"
        prefect.client.delete_flow_run(run.id)
    assert "earlier" not in kinds()


def test_the_watch_looks_and_tells_and_on_mondays_sends_a_summary_once(world: World, service: Service) -> None:
    _, (first, *_) = world.enrolled("noshow")
    with Prefect() as prefect:
        prefect.client.set_flow_run_state(first.id, Failed(message="nothing to send"), force=True)
        watch("default")
        assert f"{first.name}: nothing to send" in service.told[0]["message"]
        now = datetime.now(UTC)
        assert summary.send(prefect, world.settings, now, NOW) == "summary sent"
        assert summary.send(prefect, world.settings, now, NOW) == "sent already"
        assert "christmas/noshow: " in service.told[1]["message"]
        assert len(service.told) == 2
        service.status = 500
        with pytest.raises(summary.UndeliveredError, match="URL 1 of ALERT_URLS"):
            summary.send(prefect, world.settings, now, NOW + timedelta(days=7))


def test_register_schedules_the_watch_where_somebody_is_to_be_told(world: World) -> None:
    def schedules() -> list[Any]:
        register.register("default")
        with Prefect() as prefect:
            return list(prefect.client.read_deployment_by_name("campaign-watch/campaign-watch").schedules)

    assert schedules() == []
    world.setenv("ALERT_URLS", "json://127.0.0.1:9/")
    world.setenv("HUBLAB_TIMEZONE", "America/Toronto")
    for _ in range(2):
        found = {one.slug: one for one in schedules()}
    assert len(found) == 2
    assert found["watch"].schedule.interval == timedelta(minutes=10)
    assert (found["summary"].schedule.cron, found["summary"].schedule.timezone) == ("0 8 * * 1", "America/Toronto")
    assert found["summary"].parameters == {"summary_due": True}
    world.setenv("ALERT_URLS", "")
    assert schedules() == []
    assert watch_schedule.schedules(Settings({})) == []
    # To be called it must look, and has nobody to send a summary to.
    assert [one.slug for one in watch_schedule.schedules(Settings({"heartbeat-url": "http://x"}))] == ["watch"]


LATE = Concern("late", "3 late", {"late": "due for long"}, "`./hublab campaign preflight`")


@pytest.mark.parametrize(
    ("found", "undelivered", "told", "wanted"),
    [
        ([], "", True, ""),
        ([failures("a")], "", True, ""),  # the operator was told
        ([failures("a")], "", False, "1 failed"),  # nobody was
        ([failures("a"), LATE, SILENT], "", True, "3 late, 1 worker silent"),
        ([], "URL 1 did not take it", True, "an alert could not be delivered"),
        ([], "", False, ""),
    ],
)
def test_the_heartbeat_is_kept_back_while_something_is_wrong(
    found: list[Concern], undelivered: str, told: bool, wanted: str
) -> None:
    assert heartbeat.held_back(found, undelivered, told=told) == wanted


def test_the_watch_calls_the_heartbeat_while_all_is_well_and_never_shows_its_address(
    world: World, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.setenv("HEARTBEAT_URL", service.heart)
    for alerts in (service.url, ""):
        world.setenv("ALERT_URLS", alerts)
        found: list[Concern] = []
        monkeypatch.setattr(watch_flow, "concerns", lambda *_, found=found: found)
        service.beats.clear()
        assert watch.fn("default").message.endswith("heartbeat")
        assert service.beats == ["/ping/heart-secret-1"]
        found.append(LATE)
        assert "no heartbeat: 3 late" in watch.fn("default").message
        assert len(service.beats) == 1
    found.clear()
    service.status = 500
    assert watch.fn("default").message == "heartbeat: answered 500"
    world.setenv("HEARTBEAT_URL", "http://127.0.0.1:9/heart-secret-1")
    assert watch.fn("default").message == "heartbeat: no answer (ConnectError)"
    assert "heart-secret" not in world.settings.without_secrets(world.settings.get("heartbeat-url"))


def test_what_a_customer_must_get_and_does_not_is_a_concern_and_is_run_again_when_it_is_lifted(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    payload = world.payload("onboarding")
    with Prefect() as prefect:
        suppression.record(prefect, payload["email"], "Bounced", "2026-01-02T03:04:05Z", "x")
    enrolment = world.enrol("onboarding", payload)
    assert world.run(enrolment).name == "Skipped"
    found = told_apart("customers")
    assert f"{enrolment.name}: not enrolled: the address is suppressed: bounced" in found
    # One that is enrolled, and bounces before its second mail; and one whose mails a person has stopped.
    email, (_, second, third) = world.enrolled("onboarding")
    with Prefect() as prefect:
        suppression.record(prefect, email, "Bounced", "2026-01-02T03:04:05Z", "x")
    assert world.run(second).name == "Skipped"
    world.edit(schema.SEQUENCE, world.record(email), Cancelled=True)
    assert world.run(third).name == "Skipped"
    # A marketing mail that is skipped is as it should be.
    left, (mail, *_) = world.enrolled("noshow")
    with Prefect() as prefect:
        suppression.record(prefect, left, "Unsubscribed", "2026-01-02T03:04:05Z", "x")
    assert world.run(mail).name == "Skipped"
    found = told_apart("customers")
    assert [f"{run.name}:" in str(found) for run in (second, third, mail)] == [True, False, False]

    assert operate.main(["allow", payload["email"], "--yes"]) == 0
    assert retry_failed.main(["--list"]) in {0, 1}
    assert enrolment.name not in capsys.readouterr().out
    assert retry_failed.main(["--customers"]) == 0
    assert enrolment.name in capsys.readouterr().out
    assert world.run(enrolment).name == "Completed"
    assert len(world.mails(payload["email"])) == 3
    assert enrolment.name not in str(told_apart("customers"))
