"""`python -m e2e` as an operator runs it, on real machines: a browser, real workers, a kill and a redeploy."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from e2e.browser import opened
from e2e.report.facts import MOMENTS
from sandbox import Sandbox
from sandbox.campaign import Campaign
from sandbox.campaign.core import env_file
from sandbox.env_file import read
from sandbox.layout import shared_trees
from tests.e2e.visit import Visit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CHECKOUT = Path(__file__).resolve().parents[2]
ROOT = CHECKOUT / ".hublab" / "e2e-sandbox"
TREES = shared_trees()
SPEED = "4"

pytestmark = pytest.mark.timeout(1800)


@dataclass
class Result:
    """What the command ended with, what it said, and its report as JSON."""

    status: int
    text: str
    told: dict[str, Any]

    def lost(self) -> set[str]:
        return {mail["lost_at"] for one in self.told["enrolments"] for mail in one["mails"]}


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    yield Sandbox.at(ROOT, TREES)
    if not os.environ.get("HUBLAB_KEEP_SANDBOX"):
        Sandbox.at(ROOT, TREES).down()


def e2e(folder: Path, *arguments: str, when: str = "", then: Callable[[], object] = lambda: None) -> Result:
    """Run it; do something as soon as it says something."""
    where = ["--root", str(ROOT), "--out", str(folder / "out"), "--status", str(folder / "STATUS.md")]
    running = subprocess.Popen(
        [sys.executable, "-m", "e2e", "--sandbox", "--speed", SPEED, *where, *arguments],
        cwd=CHECKOUT,
        env=os.environ | {"HUBLAB_SANDBOX_TREES": str(TREES)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    said = []
    for line in running.stdout or ():
        said.append(line)
        if when and when in line:
            then()
            when = ""
    file = folder / "out/report.json"
    return Result(running.wait(), "".join(said), json.loads(file.read_text()) if file.exists() else {})


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


def test_sixteen_of_sixteen_with_a_worker_killed_and_all_redeployed(sandbox: Sandbox, tmp_path: Path) -> None:
    found = e2e(tmp_path)
    assert found.status == 0, found.text
    assert found.told["verdict"] == "16 of 16 mails in the mailbox, each once: all as it should be"
    mails = [mail for one in found.told["enrolments"] for mail in one["mails"]]
    assert [mail["copies"] for mail in mails] == [1] * 16
    assert all(mail[moment] for mail in mails for moment in MOMENTS)
    assert [event["what"] for event in found.told["events"]] == [
        "a worker is killed",
        "redeploy begins",
        "redeploy ends",
    ]
    # In the midst of it: the visitor was there before the kill, and mails went out after the redeploy had begun.
    killed, begins, _ = (at(event["at"]) for event in found.told["events"])
    answered, last = found.told["enrolments"][0]["answered"], max(at(mail["accepted"]) for mail in mails)
    assert at(answered) < killed < begins < last
    assert found.told["versions"]["release"]
    with opened() as chromium, Visit(chromium, tmp_path / "out/report.html") as visit:
        assert visit.flaws() == []
        assert visit.texts("h1") == [f"✓ Passed {found.told['verdict']}"]
    status = (tmp_path / "STATUS.md").read_text()
    assert "**Passed**: 16 of 16" in status
    assert status.count("Never run here") == 2


def test_queue_that_is_paused_meanwhile(sandbox: Sandbox, tmp_path: Path) -> None:
    """After the start, since the preflight lets nobody start with it."""
    running = campaign(sandbox)
    try:
        found = e2e(
            tmp_path, "--calm", "--only", "noshow", "--patience", "30",
            when="0 sent, 0 delivered", then=lambda: running.command("flows.operator.operate", "pause"),
        )  # fmt: skip
    finally:
        running.command("flows.operator.operate", "resume")
    assert found.status == 1, found.text
    # On a busy machine a mail may be away before the pause is there.
    assert found.lost() - {""} == {"worker"}
    assert "the queue 'campaign' is paused: ./hublab campaign resume" in found.text
    assert "**FAILED**" in (tmp_path / "STATUS.md").read_text()


def test_resend_that_refuses(sandbox: Sandbox, tmp_path: Path) -> None:
    running = campaign(sandbox)
    rule = {"kind": "refuse", "method": "POST", "path": "/emails$", "status": 422, "code": "validation_error"}
    running.standin("resend", "faults", [rule | {"times": None}])
    try:
        found = e2e(tmp_path, "--calm", "--only", "noshow", "--patience", "60", "--speed", "12")
    finally:
        httpx.delete(f"{running.inbox_url}/_standin/faults", timeout=30, trust_env=False).raise_for_status()
    assert found.status == 1, found.text
    assert found.lost() == {"Resend"}
    assert "lost at the hop “Resend”: its run is Failed" in found.text
    assert "422" in found.text


def campaign(sandbox: Sandbox) -> Campaign:
    """The one that the first test has set up."""
    return Campaign(sandbox, read(env_file(sandbox)))
