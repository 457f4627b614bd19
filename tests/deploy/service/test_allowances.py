"""HUBLAB_ALLOW: each word opens what it names and nothing else, at the price that systemd itself says."""

from __future__ import annotations

import json
import re
import subprocess
from typing import TYPE_CHECKING

import pytest

from deploy.onhost.worker_unit import as_worker
from deploy.service import allowances
from deploy.words import warnings
from tests.deploy.factories import converged, wanted
from tests.deploy.test_settings import refusal
from tests.deploy.units import directives, environment, render

if TYPE_CHECKING:
    from pathlib import Path

STORE = "/etc/ssl/certs/ca-certificates.crt"


@pytest.mark.parametrize(
    ("word", "gone", "told"),
    [
        ("jit", {("MemoryDenyWriteExecute", "yes")}, {}),
        ("proc", {("ProcSubset", "pid")}, {}),
        ("ca", set(), {"SSL_CERT_FILE": STORE, "REQUESTS_CA_BUNDLE": STORE}),
    ],
)
def test_word_opens_what_it_names_and_nothing_else(word: str, gone: set[tuple[str, str]], told: dict[str, str]) -> None:
    shut, open_ = render(), render(allow=(word,))
    assert set(directives(shut)) - set(directives(open_)) == gone
    assert set(directives(open_)) <= set(directives(shut))
    more = {key: value for key, value in environment(open_).items() if environment(shut).get(key) != value}
    assert more.pop("HUBLAB_UNIT")
    assert more == told
    assert "ProtectProc=invisible" in open_


@pytest.mark.parametrize(("allow", "trusted"), [(("ca",), [f"--setenv=SSL_CERT_FILE={STORE}"]), ((), [])])
def test_gate_trusts_whom_its_worker_trusts(allow: tuple[str, ...], trusted: list[str]) -> None:
    """It asks the same API, which may be behind an authority of one's own."""
    asked = as_worker("prefect-worker@1.service", render(allow=allow))
    assert [word for word in asked if "SSL_CERT_FILE" in word] == trusted


def test_every_word_is_tried_here() -> None:
    assert set(allowances.ALLOWANCES) == {"jit", "proc", "ca"}


def test_price_is_what_systemd_says(tmp_path: Path) -> None:
    path = tmp_path / "prefect-worker@1.service"
    text = render(allow=("jit", "proc", "ca"))
    path.write_text(re.sub(r"^ExecStart=.*$", "ExecStart=/bin/true", text, flags=re.MULTILINE))
    command = ["systemd-analyze", "security", "--offline=true", "--no-pager", "--json=short", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=180)
    open_ = {item["json_field"]: item["exposure"] for item in json.loads(done.stdout) if item["set"] is False}
    assert (open_["MemoryDenyWriteExecute"], open_["ProcSubset"]) == ("0.1", "0.1")
    assert [allowances.price([word]) for word in ("jit", "proc", "ca")] == [0.1, 0.1, 0.0]
    assert allowances.price(["jit", "proc"]) == 0.2


def test_plan_and_status_say_what_is_open_and_what_it_costs() -> None:
    found = warnings(wanted(allow=("jit", "ca")), converged(wanted()))
    assert [re.findall(r"HUBLAB_ALLOW=(\w+): .* \(exposure by systemd's count: (.*)\)", one) for one in found] == [
        [("jit", "+0.1")],
        [("ca", "+0.0")],
    ]
    assert warnings(wanted(), converged(wanted())) == ()


@pytest.mark.parametrize(("word", "hint"), [("jti", "did you mean jit?"), ("everything", "there are: jit, proc, ca.")])
def test_word_that_is_none_is_refused_with_the_nearest(word: str, hint: str) -> None:
    told = refusal(HUBLAB_ALLOW=f"proc,{word}")
    assert told == f".env: HUBLAB_ALLOW: '{word}' is none of the words that it takes; {hint}"
