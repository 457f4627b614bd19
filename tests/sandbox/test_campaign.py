"""What the demo shows and what the chaos run counts, from what Prefect, Notion and Resend say."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
from rich.console import Console

from sandbox import Sandbox, env_file, server
from sandbox.__main__ import status
from sandbox.campaign import setup
from sandbox.campaign import table as storms
from sandbox.campaign.aftermath import to_do
from sandbox.campaign.board import table
from sandbox.campaign.chaos import Plan
from sandbox.campaign.leaving import too_late
from sandbox.campaign.mails import Mail, mails
from sandbox.campaign.verdict import Outcome, judge
from sandbox.layout import layout

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime(2025, 12, 1, 12, tzinfo=UTC)
KEY = "christmas-noshow-0123456789abcdef01234567"
EMAIL = "delivered+a@resend.dev"
TEMPLATES = [f"noshow_recovery_email_{n}" for n in (1, 2, 3)]


def run(state: str) -> dict[str, Any]:
    due = (NOW + timedelta(seconds=90)).isoformat()
    return {"state_name": state, "next_scheduled_start_time": None, "expected_start_time": due}


def accepted(step: int, event: str = "delivered") -> dict[str, Any]:
    return {
        "tags": [{"name": "enrolment", "value": KEY}, {"name": "step", "value": str(step)}],
        "last_event": event,
    }


def record(*steps: int) -> dict[str, Any]:
    dates = {
        f"Email {n} Sent": {"type": "date", "date": {"start": "2025-12-01"} if n in steps else None}
        for n in range(1, 8)
    }
    key = {"type": "rich_text", "rich_text": [{"plain_text": KEY}]}
    return {"properties": {"Enrolment Key": key, "Email": {"type": "email", "email": EMAIL}, **dates}}


def row(template: str, status: str = "Delivered") -> dict[str, Any]:
    return {
        "properties": {
            "Email": {"type": "email", "email": EMAIL},
            "Template ID": {"type": "rich_text", "rich_text": [{"plain_text": template}]},
            "Status": {"type": "select", "select": {"name": status}},
        }
    }


def found(*inbox: dict[str, Any], **runs: str) -> list[Mail]:
    known = {(KEY, int(step.removeprefix("step"))): run(state) for step, state in runs.items()}
    return mails([KEY], known, inbox)


def test_status_says_where_the_inbox_of_a_campaign_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    where = layout(tmp_path / "sandbox")
    up = SimpleNamespace(machines=(), is_up=True, auth="u:w", api_url="http://p:4200/api", layout=where)
    assert status(cast("Sandbox", up)) == 0
    assert "inbox" not in capsys.readouterr().out
    where.root.mkdir()
    where.campaign_file.write_text("HUBLAB_RESEND_URL=http://10.0.0.1:37147\n")
    assert status(cast("Sandbox", up)) == 0
    assert "inbox        http://10.0.0.1:37147/\n" in capsys.readouterr().out
    up.is_up = False
    assert status(cast("Sandbox", up)) == 3
    assert capsys.readouterr().out == "not up; `./hublab sandbox up` boots it\n"


def test_a_mail_goes_from_waiting_to_delivered() -> None:
    assert [mail.state for mail in found()] == ["waiting"] * 3
    assert [mail.template for mail in found()] == TEMPLATES
    states = [mail.state for mail in found(step1="Scheduled", step2="Running", step3="AwaitingRetry")]
    assert states == ["scheduled", "running", "scheduled"]
    states = [mail.state for mail in found(accepted(1, "sent"), accepted(2), step1="Completed", step3="Failed")]
    assert states == ["sent", "delivered", "Failed"]


def test_the_table_shows_each_mail_and_counts_the_delivered() -> None:
    console = Console(width=120)
    with console.capture() as captured:
        console.print(table(found(accepted(1), step2="Scheduled"), NOW))
    shown = captured.get()
    assert "1 of 3 mails delivered" in shown
    assert all(template in shown for template in TEMPLATES)
    assert "in 90 s" in shown
    with console.capture() as captured:
        console.print(table(found(step2="Late"), NOW + timedelta(minutes=5)))
    assert "now" in captured.get()


ALL = [accepted(1), accepted(2), accepted(3)]
ROWS = [row(template) for template in TEMPLATES]


def verdict(
    inbox: list[dict[str, Any]] | None = None,
    records: list[dict[str, Any]] | None = None,
    analytics: list[dict[str, Any]] | None = None,
    left: tuple[str, ...] = (),
) -> Outcome:
    pages = [record(1, 2, 3)] if records is None else records
    rows = ROWS if analytics is None else analytics
    return judge(found(*(ALL if inbox is None else inbox)), [KEY], pages, rows, left)


def test_everything_once_is_clean() -> None:
    outcome = verdict()
    assert outcome.clean
    assert (outcome.enrolments, outcome.mails, outcome.accepted) == (1, 3, 3)
    assert "0 lost, 0 doubled" in outcome.text()
    assert json.loads(outcome.document())["clean"] is True


@pytest.mark.parametrize(
    ("change", "what", "said"),
    [
        ({"inbox": ALL[:2]}, "lost", f"lost: {KEY}:3"),
        ({"inbox": [*ALL, accepted(2)]}, "doubled", f"doubled: {KEY}:2"),
        ({"records": [record(1, 2)]}, "not_recorded", "1 missing"),
        ({"records": []}, "not_recorded", "3 missing"),
        ({"records": [record(1, 2, 3), record()]}, "records_doubled", "1 doubled"),
        ({"analytics": ROWS[:2]}, "deliveries_missing", "1 missing"),
        ({"analytics": [*ROWS[:2], row(TEMPLATES[2], "Failed")]}, "deliveries_missing", "1 missing"),
        ({"analytics": [*ROWS, ROWS[0]]}, "deliveries_doubled", "1 doubled"),
    ],
)
def test_whatever_is_wrong_is_seen(change: dict[str, Any], what: str, said: str) -> None:
    outcome = verdict(**change)
    assert not outcome.clean
    assert getattr(outcome, what)
    assert said in outcome.text()


def test_who_has_left_misses_nothing_and_what_he_got_is_written_down() -> None:
    some: dict[str, Any] = {"inbox": ALL[:1], "records": [record(1)], "analytics": ROWS[:1]}
    assert not verdict(**some).clean
    assert verdict(**some, left=(KEY,)).clean
    assert verdict(**some | {"records": [record()]}, left=(KEY,)).not_recorded == [f"{KEY}:1"]
    assert verdict(**some | {"analytics": []}, left=(KEY,)).deliveries_missing == 1
    assert verdict([*ALL, accepted(1)], left=(KEY,)).doubled == [f"{KEY}:1"]


@pytest.mark.parametrize(
    ("begun", "late"),
    [((-60,), False), ((1,), True), ((-60, 1), True), ((-60, 9), False), ((), True)],
    ids=["looked before", "began after", "began again after", "began again when it was sent already", "unknown"],
)
def test_a_mail_is_too_late_when_its_run_could_have_known(begun: tuple[int, ...], late: bool) -> None:
    times = [NOW + timedelta(seconds=seconds) for seconds in begun]
    assert too_late(NOW + timedelta(seconds=5), times, NOW) is late
    assert not too_late(NOW - timedelta(seconds=5), times, NOW)


@pytest.mark.parametrize(
    ("kind", "name", "due", "left"),
    [
        ("CRASHED", "Lost", -900, True),
        ("FAILED", "Failed", -900, True),
        ("RUNNING", "Running", -900, True),
        ("PENDING", "HublabSubmitting", -900, True),
        ("SCHEDULED", "RunAgain", -900, True),
        ("SCHEDULED", "AwaitingRetry", 900, False),
        ("RUNNING", "Running", -5, False),
        ("PAUSED", "Suspended", -900, False),
        ("COMPLETED", "Skipped", -900, False),
        ("CANCELLED", "Cancelled", -900, False),
    ],
)
def test_what_is_left_to_be_done(kind: str, name: str, due: int, left: bool) -> None:
    when = (NOW + timedelta(seconds=due)).isoformat()
    one = {"name": "a", "state_type": kind, "state_name": name, "next_scheduled_start_time": None}
    assert to_do(iter([one | {"expected_start_time": when}]), NOW) == ([f"a is {name}"] if left else [])


def test_what_is_wrong_at_the_end_of_a_storm_is_said() -> None:
    for what in ("to_who_left", "by_hand"):
        outcome = verdict()
        getattr(outcome, what).append("this one")
        assert not outcome.clean
        assert "this one" in outcome.text()


def test_own_campaign_files_stay_a_part_of_what_is_deployed_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(setup, "_environment", lambda *_: {"HUBLAB_CAMPAIGNS": "/before"})
    for typed, kept in {"": "/before", "/own": "/own"}.items():
        monkeypatch.setenv("HUBLAB_CAMPAIGNS", typed)
        assert setup.prepare(cast("Sandbox", None)).environment["HUBLAB_CAMPAIGNS"] == kept


def test_settings_that_were_added_to_a_sandbox_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Remedies name its file where there is no `.env`, and each deploy writes it."""
    sandbox = Sandbox(layout(tmp_path))
    monkeypatch.setattr(server, "credential", lambda _: "user:new")
    for file in (sandbox.env_file, sandbox.layout.campaign_file):
        env_file.write(file, {"HUBLAB_WORKERS": "2", "PREFECT_API_AUTH_STRING": "user:old"})
        sandbox.write_env()
        found = env_file.read(file)
        assert (found["HUBLAB_WORKERS"], found["PREFECT_API_AUTH_STRING"]) == ("2", "user:new")


def test_a_storm_is_a_row_of_the_table(tmp_path: Path) -> None:
    page, outcome = tmp_path / "chaos.md", verdict(ALL[:2])
    outcome.killed, outcome.spoilt, outcome.seconds, outcome.left = {"worker": 1, "PostgreSQL": 4}, {"notion": 7}, 95, 2
    page.write_text(f"before\n\n{storms.HEAD}\n|---|\n| an older one |\nafter\n")
    storms.add(page, Plan(1, every=5), outcome)
    before, row, after = page.read_text().partition("|---|\n")[0], *page.read_text().splitlines()[4:6]
    assert before == f"before\n\n{storms.HEAD}\n"
    assert after == "| an older one |"
    assert "| 1, 3 | 5 s | 5: 4 PostgreSQL, 1 worker | 7 of notion's | 2 | 2 min, load" in row
    assert row.endswith("| 1 | 0 | 0 | 0 | 0 |")
    assert row.count("|") == storms.HEAD.count("|")
    page.write_text("no table")
    with pytest.raises(ValueError, match="table"):
        storms.add(page, Plan(1), outcome)
