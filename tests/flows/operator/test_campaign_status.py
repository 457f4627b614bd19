"""How the campaign stands: every count from where it is true, what needs somebody named, and readable on a phone."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from e2e.browser import opened
from flows.operator import campaign_status, campaign_views, figures, summary
from flows.operator.campaign_status import Status, Trouble
from flows.recipients.suppression import record_name
from flows.services import prefect_api
from flows.services.prefect_api import Prefect
from flows.webhooks import events
from flows.webhooks.forwarding import Forwarder
from flows.webhooks.spool import Spool

if TYPE_CHECKING:
    from pathlib import Path

    from tests.flows.world import World

NOW = datetime(2025, 12, 3, 12, tzinfo=UTC)


def mail(email: str, step: int = 1, outcome: str = "sent", hours: float = 24) -> figures.Mail:
    """A mail that got this far so many hours ago."""
    where = ("spring", "hello", step)
    return figures.Mail(f"key-{email}", where, f"spring_{step}", email, outcome, NOW - timedelta(hours=hours))


def row(email: str, status: str, step: int = 1, identity: str = "") -> dict[str, str]:
    return {"email": email, "template": f"spring_{step}", "status": status, "id": identity or f"{email}-{step}"}


def counts(steps: list[figures.Step]) -> dict[int, dict[str, int]]:
    return {step.where[2]: dict(+step.counts) for step in steps}


def test_each_count_is_taken_from_where_it_is_true() -> None:
    mails = [mail(f"{name}@hublab.test") for name in "abcdefg"]
    mails += [
        mail("a@hublab.test", 2, "due", -1),
        mail("b@hublab.test", 2, "skipped"),
        mail("c@hublab.test", 2, "failed"),
    ]
    rows = [
        row("a@hublab.test", "Clicked"),
        row("B@hublab.test", "Opened"),
        row("c@hublab.test", "Delivered"),
        row("d@hublab.test", "Soft Bounced"),
        row("e@hublab.test", "Complained"),
        row("f@hublab.test", "Sent"),
        row("g@hublab.test", "Failed"),  # Resend's own event has Resend's id
        row("c@hublab.test", "Failed", 2) | {"id": ""},  # a run's failure has none
        row("a@hublab.test", "Delivered"),  # a row that was made twice counts once
        row("stranger@hublab.test", "Opened"),
    ]
    found = counts(figures.counted(mails, rows, {}))
    assert found[1] == {"enrolled": 7, "sent": 7, "delivered": 4, "opened": 2, "bounced": 2}
    assert found[2] == {"enrolled": 3, "due": 1, "skipped": 1, "failed": 1}


def test_who_has_left_counts_at_the_last_mail_before() -> None:
    mails = [
        mail("a+x@hublab.test", 1, hours=48),
        mail("a+x@hublab.test", 2, hours=24),
        mail("a+x@hublab.test", 3, hours=1),
    ]
    mails += [mail("b@hublab.test", 1, "due", -5), mail("c@hublab.test", 1)]
    left = {
        record_name("A@hublab.test", "Unsubscribed"): {"at": (NOW - timedelta(hours=2)).isoformat()},
        record_name("b@hublab.test", "Complained"): {"at": "2025-12-01T00:00:00.123Z"},
        record_name("c@hublab.test", "Cancelled"): {"at": NOW.isoformat()},  # by the operator
    }
    steps = figures.counted(mails, [], left)
    assert {step.where[2]: step.counts["unsubscribed"] for step in steps} == {1: 1, 2: 1, 3: 0}


@pytest.mark.parametrize(
    ("type_", "name", "became"),
    [
        ("COMPLETED", "Completed", "sent"),
        ("COMPLETED", "Skipped", "skipped"),
        ("CANCELLED", "Cancelled", "skipped"),
        ("FAILED", "Failed", "failed"),
        ("CRASHED", "GaveUp", "failed"),
        ("SCHEDULED", "AwaitingRetry", "due"),
        ("RUNNING", "Running", "due"),
    ],
)
def test_what_became_of_a_mail_is_its_runs_state(type_: str, name: str, became: str) -> None:
    enrolment = {
        "campaign": "c",
        "sequence": "s",
        "email": "A@b.c",
        "key": "k",
        "plan": [{"number": 2, "template": "t"}],
    }
    run: dict[str, Any] = {
        "parameters": {"enrolment": enrolment, "step": 2},
        "state": {"type": type_, "name": name, "timestamp": "2025-12-01T00:00:00Z"},
        "end_time": None,
        "next_scheduled_start_time": "2025-12-02T00:00:00Z",
        "created": "2025-11-01T00:00:00Z",
    }
    found = figures.mail(run)
    assert found is not None
    assert (found.where, found.template, found.email, found.outcome) == (("c", "s", 2), "t", "a@b.c", became)
    assert figures.mail(run | {"parameters": {"email": "a@b.c", "email_number": 2}}) is None  # the old production's
    by_hand: tuple[dict[str, Any], ...] = (
        {"enrolment": {}},
        {"enrolment": "x", "step": 1},
        {"enrolment": enrolment | {"plan": 5}, "step": 1},
    )
    assert [figures.mail(run | {"parameters": given}) for given in by_hand] == [None] * 3


def test_late_is_what_is_due_for_long_and_has_not_gone() -> None:
    mails = [mail("a@b.c", 1, "due", -1), mail("b@b.c", 1, "due", 0.2), mail("c@b.c", 1, "due", 0.3), mail("d@b.c", 1)]
    assert figures.late(mails, NOW) == 1


def counted(document: dict[str, Any], sequence: str) -> dict[int, Counter[str]]:
    return {
        one["step"]: Counter({name: one[name] for name in figures.COUNTS})
        for one in document["steps"]
        if (one["campaign"], one["sequence"]) == ("christmas", sequence)
    }


def shown(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    capsys.readouterr()
    campaign_status.main(["--json"])
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_a_campaign_is_counted_from_prefect_and_notion(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = counted(shown(capsys), "noshow")
    email, runs = world.enrolled("noshow")
    assert world.run(runs[0]).is_completed()
    (sent,) = world.accepted(email)
    tags = {"campaign": "christmas", "sequence": "noshow", "step": "1", "template": "noshow_recovery_email_1"}
    body = {"to": [email], "email_id": sent["id"], "tags": tags}
    forwarder = Forwarder(Spool(tmp_path))
    event = {"type": "email.opened", "created_at": datetime.now(UTC).isoformat(), "data": body}
    forwarder.spool.put("event", {"kind": "event", "event": events.understood(event)})
    assert forwarder.once() == 1
    with Prefect() as prefect:
        events.suppress(prefect, events.unsubscribed(email))
    assert world.run(runs[1]).name == "Skipped"
    after = counted(shown(capsys), "noshow")
    grown = {number: dict(after[number] - before.get(number, Counter())) for number in after}
    assert grown[1] == {"enrolled": 1, "sent": 1, "delivered": 1, "opened": 1, "unsubscribed": 1}
    assert grown[2] == {"enrolled": 1, "skipped": 1}
    assert grown[3] == {"enrolled": 1, "due": 1}


def test_a_run_that_failed_is_named_with_what_runs_it_again_and_the_status_is_1(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    _, runs = world.enrolled("noshow")
    world.template("noshow_recovery_email_1")["values"]["Subject Line"] = []
    assert world.run(runs[0]).is_failed()
    assert campaign_status.main([]) == 1
    out = capsys.readouterr().out
    assert f"Failed    {runs[0].name}" in out
    assert "once the cause is mended, `./hublab campaign retry-failed` runs them again" in out


def test_a_notion_that_does_not_answer_leaves_prefects_numbers_and_says_so(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.enrolled("noshow")
    world.services.notion.token = "ntn_another"
    assert campaign_status.main(["--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert any("delivered, opened and bounced are not known" in one for one in found["remedies"])
    (first, *_) = [one for one in found["steps"] if one["sequence"] == "noshow"]
    assert {name for name in figures.COUNTS if first[name] is None} == {"delivered", "opened", "bounced"}
    assert first["enrolled"] > 0


@pytest.fixture
def status() -> Status:
    mails = [mail(f"{n}@hublab.test", step) for n in range(9) for step in (1, 2)]
    rows = [row(f"{n}@hublab.test", "Opened") for n in range(6)]
    troubles = [Trouble("GaveUp", "spring_2 0123abcd", "<script>alert(1)</script> " + "x" * 150)]
    return Status(NOW, figures.counted(mails, rows, {}), troubles, late=2)


def test_the_summary_has_each_sequences_people_and_mails_and_what_needs_somebody(status: Status) -> None:
    first, *more = summary.text(status).splitlines()
    where = "/".join(status.steps[0].where[:2])
    told = "0 due, 18 sent, 6 delivered, 6 opened, 0 bounced, 0 unsubscribed, 0 skipped, 0 failed"
    assert first == f"{where}: 9 enrolled; mails: {told}"
    assert more == campaign_status.remedies(status)
    assert len(more) == 2
    status.untold = "Notion is away"
    first, *more = summary.text(status).splitlines()
    assert first == f"{where}: 9 enrolled; mails: 0 due, 18 sent, 0 unsubscribed, 0 skipped, 0 failed"
    assert more[-1] == "delivered, opened and bounced are not known: Notion is away"
    assert summary.text(Status(NOW, [])) == "nobody is enrolled yet"


def test_what_was_not_read_in_notion_needs_somebody() -> None:
    found = Status(NOW, [], unread="2026-01-05 12:00 UTC")
    assert found.needs_somebody
    (said,) = campaign_status.remedies(found)
    assert said.startswith("what people change in Notion was not read since 2026-01-05 12:00 UTC")


def test_the_page_is_one_file_that_a_phone_shows_without_scrolling_sideways(status: Status, tmp_path: Path) -> None:
    path = tmp_path / "campaign.html"
    path.write_text(campaign_views.page(status), "utf-8")
    asked: list[str] = []
    with opened() as browser:
        page = browser.new_page(viewport={"width": 375, "height": 700})
        page.on("request", lambda request: asked.append(request.url))
        page.goto(path.as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") <= 375
        assert page.locator("script").count() == 0
        assert "<script>alert(1)</script>" in page.inner_text(".bad")
        assert "2 mails are late" in page.inner_text(".bad")
        bars = [page.locator(f"article:first-of-type rect.{part}").bounding_box() for part in ("all", "opened")]
        assert all(bars)
        assert page.locator("article:first-of-type dl").inner_text().split()[:2] == ["enrolled", "9"]
        whole, part = (box["width"] for box in bars if box)
        assert part / whole == pytest.approx(6 / 9, abs=0.01)
        said = page.locator("article:first-of-type svg").get_attribute("aria-label")
        assert said == "100.0 % sent, 6 delivered, 6 opened"  # to who does not see the chart
    assert asked == [path.as_uri()]


def test_a_page_of_a_campaign_without_anybody_says_so() -> None:
    assert "Nobody is enrolled yet" in campaign_views.page(Status(NOW, []))


def test_a_filter_is_read_to_its_last_page(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    _, runs = world.enrolled("noshow")
    monkeypatch.setattr(prefect_api, "PAGE", 2)
    wanted = {"flow_runs": {"id": {"any_": [str(run.id) for run in runs]}}, "sort": "ID_DESC"}
    with Prefect() as prefect:
        found = [one["id"] for one in prefect.pages("/flow_runs/filter", wanted)]
    assert sorted(found) == sorted(str(run.id) for run in runs)
    assert len(found) == 3
