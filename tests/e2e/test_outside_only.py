"""The end-to-end run stands outside: it knows the contract, not the code that keeps it."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from e2e import filling, needs
from e2e.contract import segment, sequences
from e2e.errors import RefusedError
from flows.campaigns.model import sequences as of_the_flows

ROOT = Path(__file__).resolve().parents[2]
INSIDE = {"flows", "worker", "deploy"}


def imported(file: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {name.name.partition(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.partition(".")[0])
    return found


def test_nothing_of_the_inside_is_imported() -> None:
    files = sorted((ROOT / "e2e").rglob("*.py"))
    assert len(files) > 20
    assert {file.name: found for file in files if (found := imported(file) & INSIDE)} == {}
    assert [file.name for file in files if "sandbox" in imported(file)] == ["__main__.py", "needs.py", "stage.py"]


def test_run_against_production_loads_neither_the_sandbox_nor_the_inside() -> None:
    code = "import e2e.__main__, sys; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "playwright" in loaded
    assert not loaded & (INSIDE | {"sandbox", "prefect", "notion_client", "resend"})


def test_contract_is_what_the_flows_keep() -> None:
    kept = {name: one for (campaign, name), one in of_the_flows().items() if campaign == "christmas"}
    assert set(sequences()) == set(kept)
    for name, one in sequences().items():
        flow = kept[name]
        assert (one.webhook, one.handler) == (flow.webhook, flow.handler)
        assert one.templates == tuple(step.template for step in flow.steps)
        assert one.first_minute == flow.testing_first_minute
        assert set(one.answers) <= set(flow.fields)
        assert {field for field, kind in flow.fields.items() if kind.endswith("!")} <= {*one.answers, "email"}


@pytest.mark.parametrize(
    ("red", "orange", "wanted"),
    [(2, 0, "CRITICAL"), (8, 0, "CRITICAL"), (1, 0, "URGENT"), (0, 2, "URGENT"), (0, 1, "OPTIMIZE")],
)
def test_segment_is_reckoned_without_the_product(red: int, orange: int, wanted: str) -> None:
    assert segment(red, orange) == wanted


def test_variables_are_filled_in_and_unknown_ones_stay() -> None:
    assert filling.html("{{ first_name }} {{x}}", {"first_name": "Ada"}) == "Ada {{x}}"
    assert sequences()["signup"].variables("a@b.com")["segment"] == "CRITICAL"


def test_missing_chromium_has_a_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda _: None)
    with pytest.raises(RefusedError, match="apt-get install chromium"):
        needs.chromium()


def test_missing_chromium_is_installed_from_debians_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        asked.append(command)
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr("shutil.which", lambda name: None if name == "chromium" else f"/usr/bin/{name}")
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr("subprocess.run", run)
    assert needs.chromium() == "/usr/bin/chromium"
    assert [command[:2] for command in asked] == [["apt-get", "update"], ["apt-get", "install"]]
    assert "chromium" in asked[1]
