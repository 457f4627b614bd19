"""STATUS.md says what was verified and what was not; each command writes its own section."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from junitparser import JUnitXml

from e2e import status, system
from e2e.record import Event, Record
from tests.e2e.test_diagnose import record as arrived

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

_JUNIT = """<testsuites><testsuite name="pytest" timestamp="2025-11-14T06:00:00+01:00">
<testcase name="test_a[worker1]" classname="x" time="1"/>
<testcase name="test_b" classname="x" time="1"/>
<testcase name="test_c" classname="x" time="1"><skipped message="no webhooks here"/></testcase>
{more}</testsuite></testsuites>"""
_BAD = '<testcase name="test_d" classname="x" time="1"><failure message="no">text</failure></testcase>'


def ran(against: str = "sandbox", minute: float = 15.0) -> Record:
    whole = arrived()
    whole.against, whole.minute, whole.ended = against, minute, whole.began + timedelta(seconds=200)
    whole.versions = {"release": "abc", "checkout": "0123", "Chromium": "150"}
    return whole


def test_each_command_writes_its_own_section(tmp_path: Path) -> None:
    file = tmp_path / "STATUS.md"
    status.write(status.HOSTS, "hosts one", file)
    assert file.read_text().count("Never run here") == 2
    file.write_text(file.read_text().replace("`./hublab e2e`.", "in other words."))
    status.write(status.HOSTS, "hosts one", file)
    assert "in other words" not in file.read_text()
    status.write(*status.of_run(ran()), file)
    status.write(*status.of_run(ran("production", 60)), file)
    status.write(status.HOSTS, "hosts two", file)
    text = file.read_text()
    assert [line for line in text.splitlines() if line.startswith("## ")] == [f"## {name}" for name in status.SECTIONS]
    assert "hosts one" not in text
    assert text.count("Passed") == 2
    assert "Never run here" not in text
    status.write(status.HOSTS, "hosts two", file)
    assert file.read_text() == text


def test_a_run_says_what_was_verified_and_what_was_not() -> None:
    title, body = status.of_run(ran())
    assert title == status.SANDBOX
    for words in (
        "**Passed**: 3 of 3 mails delivered by Resend's word, each once",
        "Friday 14 November 2025, 05:00 UTC, 3 min 20 s; testing mode's minute lasted 15.0 s",
        "release: `abc`, checkout `0123`",
        "Chromium 150",
        "the real Notion, Resend and funnel page",
        "a delivery is Resend's word (TESTING_MAILBOX in .env)",
        "./hublab e2e --sandbox --speed 1",
        "a redeploy and a killed worker",
    ):
        assert words in body
    whole = ran("production", 60.0)
    whole.mailbox = "INBOX of you@example.com at imap.example.com:993"
    whole.events = [Event(whole.began, "redeploy begins")]
    title, body = status.of_run(whole)
    assert title == status.PRODUCTION
    assert "05:00:00 redeploy begins" in body
    assert body.endswith("- not verified: the delays of production, from five minutes to ten days")


def test_a_failed_run_says_what_is_wrong() -> None:
    whole = ran()
    whole.diagnosis, whole.mails[1].problems = ["noshow 2: lost at the hop “worker”."], ["Its subject is 'x'."]
    whole.mails[1].event = ""
    _, body = status.of_run(whole)
    assert body.startswith("- **FAILED**: 2 of 3 mails delivered by")
    assert "- wrong: noshow 2: lost at the hop “worker”." in body
    assert "- wrong: noshow 2: Its subject is 'x'." in body


def test_checks_of_the_hosts_are_counted() -> None:
    well = status.of_checks(JUnitXml.fromstring(_JUNIT.format(more="")), "the host of a sandbox", ["abc"], "0123")
    assert well.splitlines() == [
        "- **Passed**: 2 of 3 checks hold",
        "- when: Friday 14 November 2025, 05:00 UTC",
        "- release: `abc`, checkout `0123`",
        "- against: the host of a sandbox",
        "- not verified: test_c: no webhooks here",
    ]
    bad = status.of_checks(JUnitXml.fromstring(_JUNIT.format(more=_BAD)), "x", [], "")
    assert bad.startswith("- **FAILED**: 2 of 4 checks hold")
    assert "- wrong: test_d: no" in bad.splitlines()
    none = status.of_checks(JUnitXml.fromstring("<testsuites/>"), "x", [], "")
    assert none.startswith("- **FAILED**: 0 of 0 checks hold")
    assert datetime.now(UTC).strftime("%Y") in none


def test_what_several_checks_say_is_said_once_and_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said = 'message="failed on setup with &quot;AssertionError: no process&#10;assert 0&quot;"'
    down = "".join(
        f'<testcase name="test_{name}" classname="x" time="1"><error {said}>…</error></testcase>' for name in "def"
    )
    (junit := tmp_path / "verify.xml").write_text(_JUNIT.format(more=down))
    monkeypatch.setattr(status, "find", lambda _: (tmp_path / "env", False))
    monkeypatch.setattr(system, "releases", lambda _: ["abc"])
    assert status.main([str(junit), "--status", str(tmp_path / "STATUS.md")]) == 0
    told = capsys.readouterr().out.splitlines()
    assert [line for line in told if "wrong" in line] == ["- wrong: test_d and 2 more: no process"]
    assert told[-1] == f"-> `./hublab status` says what a deploy mends; {junit} has all that each check said"


def test_the_checkout_counts_as_changed_by_all_but_this_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system, "CHECKOUT", tmp_path)
    assert system.commit() == "unknown"
    for name in ("STATUS.md", "code.py"):
        (tmp_path / name).write_text("one")
    who = ["-c", "user.name=Test", "-c", "user.email=test@hublab.test"]
    for command in (["init", "-q"], ["add", "-A"], [*who, "commit", "-qm", "one"]):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    (tmp_path / "STATUS.md").write_text("two")
    clean = system.commit()
    assert len(clean) == 12
    (tmp_path / "code.py").write_text("two")
    assert system.commit() == f"{clean}-dirty"
