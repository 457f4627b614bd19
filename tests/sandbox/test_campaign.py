"""What the demo shows and what the chaos run counts, from what Prefect, Notion and Resend say."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from rich.console import Console

from sandbox.campaign.board import table
from sandbox.campaign.mails import Mail, mails
from sandbox.campaign.verdict import Outcome, judge

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
) -> Outcome:
    pages = [record(1, 2, 3)] if records is None else records
    return judge(found(*(ALL if inbox is None else inbox)), [KEY], pages, ROWS if analytics is None else analytics)


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
