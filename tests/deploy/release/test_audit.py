"""What the release is made of: a list of it in each release, and what is known against it."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import httpx
import pytest

from deploy.release.identity import shipped_code
from deploy.release.requirements import LOCK, locked_versions
from deploy.settings import ROOT
from tests.answering import answering

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SBOM = "worker/requirements.cdx.json"


class Osv:
    """The service's own form: an answer for each package and version, empty when nothing is known."""

    flawed = ""
    status = 200

    def answer(self, request: httpx.Request) -> httpx.Response:
        name = json.loads(request.content)["package"]["name"]
        ranges = [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "99"}]}]
        flaw = {
            "id": "GHSA-test-test-test",
            "summary": "x",
            "details": "x",
            "affected": [{"package": {"name": name, "ecosystem": "PyPI"}, "ranges": ranges}],
        }
        return httpx.Response(self.status, json={"vulns": [flaw]} if name == self.flawed else {})


@pytest.fixture
def service() -> Iterator[str]:
    with answering(Osv().answer) as url:
        yield f"{url}/v1/query"


def audit(url: str) -> tuple[int, str]:
    command = [sys.executable, "-m", "deploy.release.audit", "--osv-url", url]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout


def test_lock_without_a_known_vulnerability_passes(service: str) -> None:
    status, said = audit(service)
    assert (status, said.startswith("no vulnerability is known in the 1")) == (0, True), said


def test_what_is_known_is_named_with_the_version_that_mends_it(service: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Osv, "flawed", "prefect")
    status, said = audit(service)
    assert status == 1, said
    assert f"prefect {locked_versions()['prefect']}: GHSA-test-test-test, mended in 99" in said


def test_a_service_that_cannot_be_reached_is_no_clean_bill() -> None:
    status, said = audit("http://127.0.0.1:9/v1/query")
    assert status == 3
    assert "The audit did NOT happen: http://127.0.0.1:9/v1/query could not be asked." in said


@pytest.mark.parametrize("status", [403, 500, 503])
def test_nor_is_one_that_refuses(service: str, monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    monkeypatch.setattr(Osv, "status", status)
    assert audit(service)[0] == 3


def test_nor_is_a_package_that_the_service_was_not_asked_about() -> None:
    from deploy.release.audit import verdict  # noqa: PLC0415

    known = {"name": "a", "version": "1", "vulns": []}
    status, lines = verdict({"dependencies": [known, {"name": "b", "skip_reason": "not found"}]})
    assert status == 3
    assert "NOT looked at: 1 of 2 packages" in lines[0]
    assert verdict({"dependencies": []})[0] == 3


def test_each_release_has_the_list_of_what_is_in_it() -> None:
    """Being shipped code, it is covered by the release's digest like any other."""
    found = json.loads(shipped_code().files[SBOM])
    assert (found["bomFormat"], found["metadata"]["component"]["name"]) == ("CycloneDX", "hublab")
    assert {item["name"]: item["version"] for item in found["components"]} == dict(locked_versions())
    assert "uvloop" not in {item["name"] for item in found["components"]}
    assert all(item["externalReferences"][0]["hashes"] for item in found["components"])


def test_it_is_what_its_tool_makes_of_the_lock(tmp_path: Path) -> None:
    (line,) = [line for line in (ROOT / "Makefile").read_text().splitlines() if "cyclonedx-py" in line]
    command = line.strip().replace("$(BIN)/", f"{sys.executable.rpartition('/')[0]}/").replace("@", "")
    for name in ("one", "two"):
        made = command.replace(SBOM, str(tmp_path / name))
        subprocess.run(made, shell=True, cwd=ROOT, check=True, capture_output=True)  # noqa: S602
        assert (tmp_path / name).read_bytes() == (ROOT / SBOM).read_bytes(), (
            f"`make lock` after a change of {LOCK.name}"
        )
