"""It starts only where no mail can go astray: each reason for a refusal, in words that name key and remedy."""

from __future__ import annotations

import io
import sys
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from e2e import announce, enter, guard, target
from e2e.__main__ import main
from e2e.errors import RefusedError
from e2e.guard import Found
from e2e.outside.prefect import Run
from e2e.record import Record
from sandbox import env_file

if TYPE_CHECKING:
    from pathlib import Path

    from e2e.target import Target

VALUES = {
    "HUBLAB_SENDER": "Hublab <hello@example.com>",
    "FUNNEL_URL": "https://example.com/form",
    "HUBLAB_PUBLIC_URL": "https://hooks.example.com",
    "PREFECT_API_URL": "https://prefect.example.com/api",
    "PREFECT_API_AUTH_STRING": "user:hush-auth",
    "TESTING_ADDRESS": "me@example.com",
    "WEBHOOK_SECRET": "hush-webhook",
    "NOTION_TOKEN": "hush-notion",
    "RESEND_API_KEY": "hush-resend",
    "NOTION_EMAIL_TEMPLATES_DB_ID": "hush-templates",
    "NOTION_EMAIL_SEQUENCE_DB_ID": "hush-sequence",
}


def written(folder: Path, **changed: str | None) -> Path:
    values = {key: value for key, value in (VALUES | changed).items() if value is not None}
    file = folder / ".env"
    env_file.write(file, {"HUBLAB_HOSTS": "root@example.com"} | values)
    return file


@pytest.fixture
def aim(tmp_path: Path) -> Target:
    return target.load(written(tmp_path), "production")


@pytest.fixture
def well(aim: Target) -> Found:
    """Everything as it must be."""
    return Found({"testing-mode": "true", **aim.blocks()}, {"HUBLAB_PUBLIC_URL": VALUES["HUBLAB_PUBLIC_URL"]})


def waiting(to: str) -> Run:
    due = datetime(2025, 11, 20, 9, 30, tzinfo=UTC)
    return Run("id", to, "signup", 2, "Scheduled", "", due, None, None, 0)


def test_nothing_is_said_when_all_is_well(aim: Target, well: Found) -> None:
    own = replace(well, open_runs=(waiting("me@example.com"), waiting("me+e2e-1@example.com")))
    assert guard.reasons(aim, well) == guard.reasons(aim, own) == []


@pytest.mark.parametrize("mode", ["false", "", "maybe", None])
def test_without_testing_mode_it_is_refused(aim: Target, well: Found, mode: str | None) -> None:
    secrets = {
        name: value for name, value in (dict(well.secrets) | {"testing-mode": mode}).items() if value is not None
    }
    (reason,) = guard.reasons(aim, replace(well, secrets=secrets))
    assert reason.startswith("TESTING_MODE: ")
    assert "TESTING_MODE=true in .env, ./hublab campaign secrets" in reason


@pytest.mark.parametrize("to", ["you@example.com", "me@example.org", "me.e2e@example.com", "", "xme@example.com"])
def test_where_a_mail_could_go_to_another_address_it_is_refused(aim: Target, well: Found, to: str) -> None:
    runs = (waiting("me+e2e-1@example.com"), waiting(to))
    (reason,) = guard.reasons(aim, replace(well, open_runs=runs))
    assert reason.startswith(
        "TESTING_ADDRESS: runs at Prefect that would write to other addresses: 1, the next is due at 2025"
    )
    assert "you@" not in reason


@pytest.mark.parametrize(("spooled", "said"), [(2, "hold enrolments: 2"), (None, "do not say what they hold")])
def test_where_the_webhooks_hold_somebody_else_it_is_refused(
    aim: Target, well: Found, spooled: int | None, said: str
) -> None:
    (reason,) = guard.reasons(aim, replace(well, spooled=spooled))
    assert reason.startswith("HUBLAB_PUBLIC_URL: ")
    assert said in reason


@pytest.mark.parametrize("name", ["notion-token", "resend-api-key", "notion-email-sequence-db-id", "webhook-secret"])
def test_where_the_workers_use_another_account_it_is_refused(aim: Target, well: Found, name: str) -> None:
    for secrets in ({**well.secrets, name: "hush-other"}, {k: v for k, v in well.secrets.items() if k != name}):
        (reason,) = guard.reasons(aim, replace(well, secrets=secrets))
        assert reason.startswith(f"{name}: ")
        assert reason.endswith("correct it, ./hublab campaign secrets")
        assert "hush" not in reason


def test_where_the_workers_use_another_service_it_is_refused(aim: Target, well: Found) -> None:
    (reason,) = guard.reasons(aim, replace(well, settings={"HUBLAB_RESEND_URL": "http://standin"}))
    assert reason.startswith("HUBLAB_RESEND_URL: 'http://standin' at Prefect, 'https://api.resend.com' in .env")


def test_red_preflight_is_refused_row_by_row(aim: Target, well: Found) -> None:
    assert guard.reasons(aim, replace(well, preflight=("Notion x", "Resend y"))) == [
        "preflight: Notion x",
        "preflight: Resend y",
    ]


@pytest.mark.parametrize("key", [key for key in VALUES if key != "PREFECT_API_AUTH_STRING"])
def test_missing_key_is_named(tmp_path: Path, key: str) -> None:
    with pytest.raises(RefusedError) as error:
        target.load(written(tmp_path, **{key: None}), "production")
    assert [reason.partition(":")[0] for reason in error.value.reasons] == [key]
    assert "add it to .env" in error.value.reasons[0]


@pytest.mark.parametrize("address", ["me", "me@x", "me+tag@example.com", "a@example.com,b@example.com", "Me <a@b.com>"])
def test_one_plain_address_is_demanded(tmp_path: Path, address: str) -> None:
    with pytest.raises(RefusedError, match=r"TESTING_ADDRESS: .* is not one plain address"):
        target.load(written(tmp_path, TESTING_ADDRESS=address), "production")


def test_values_are_not_shown(aim: Target, well: Found) -> None:
    assert "hush" not in f"{aim!r} {well!r}"


def announced(aim: Target) -> str:
    record = Record("production", datetime(2025, 11, 14, tzinfo=UTC))
    record.enrolments = enter.expected(aim, ("signup", "onboarding"), "e2e-1")
    return announce.words(aim, record, "e2e-1")


def test_what_it_will_do_is_said(aim: Target) -> None:
    said = announced(aim)
    for words in (
        "https://example.com/form",
        "webhook of onboarding",
        "10 mails",
        "me@example.com",
        "search for e2e-1",
    ):
        assert words in said
    assert "hush" not in said


def test_production_is_asked_for_first(
    aim: Target, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    for answer, goes_on in (("y\n", True), ("yes\n", True), ("n\n", False), ("\n", False), ("", False)):
        monkeypatch.setattr(sys, "stdin", Terminal(answer))
        if goes_on:
            announce.agreed(announced(aim), yes=False)
        else:
            with pytest.raises(RefusedError, match="not started"):
                announce.agreed(announced(aim), yes=False)
    assert "Go on? [y/N]" in capsys.readouterr().err


def test_where_nobody_can_be_asked_it_takes_a_yes_beforehand(aim: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    with pytest.raises(RefusedError, match="--yes"):
        announce.agreed(announced(aim), yes=False)
    announce.agreed(announced(aim), yes=True)


def test_command_refuses_with_status_two(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HUBLAB_ENV_FILE", str(written(tmp_path, TESTING_ADDRESS=None)))
    status = tmp_path / "STATUS.md"
    assert main(["--status", str(status), "--out", str(tmp_path / "out")]) == 2
    assert "e2e: not started: TESTING_ADDRESS: not set" in capsys.readouterr().err
    for flag in (["--speed", "2"], ["--mailbox", "a@b.com"], ["--root", "x"], ["--calm"]):
        assert main(["--status", str(status), *flag]) == 2
        assert f"{flag[0]}: only for a sandbox" in capsys.readouterr().err
    assert main(["--only", "signup,other"]) == 2
    assert "--only: 'other' is none of signup" in capsys.readouterr().err
    assert not status.exists()


def test_production_is_what_a_file_names(tmp_path: Path) -> None:
    assert target.find({}, tmp_path) == (tmp_path / ".sandbox/env", True)
    file = written(tmp_path)
    assert target.find({}, tmp_path) == (file, False)
    assert target.find({"HUBLAB_ENV_FILE": "/x"}, tmp_path)[1] is False
