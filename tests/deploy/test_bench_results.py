"""The docs' figures are those of bench/results, and a new result makes the table that it says."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from bench import deploy_compare, results

if TYPE_CHECKING:
    from pathlib import Path


def test_tables_of_the_docs_are_made_from_the_results() -> None:
    named = [
        name for page in results.PAGES for _, name, *_ in results._BLOCK.findall((results.ROOT / page).read_text())
    ]
    assert sorted(named) == sorted(path.stem for path in results.FOLDER.glob("*.json"))
    assert results.main(["--check"]) == 0


def test_result_says_of_what_it_is(tmp_path: Path) -> None:
    found = {"2 hosts, nothing to do": {"bash": [1.0, 2.0, 3.0], "hublab": [3.0, 3.0, 9.0]}}
    path = results.write("one", deploy_compare.table(found), found, tmp_path)
    told = json.loads(path.read_text())
    assert told["raw"] == found
    assert all(told[key] for key in ("commit", "date", "load", "machine", "command"))
    page = results.renewed("a\n<!-- bench: one -->\nold\n<!-- /bench -->\nb\n", tmp_path)
    assert "| 2 hosts, nothing to do | 2.00 s, 1.0 × | 3.00 s, 1.5 × |" in page
    assert f"at commit `{told['commit']}`, {told['date']}" in page
    assert "old" not in page
    told["load"] = None
    path.write_text(json.dumps(told))
    assert "load unknown" in results.renewed(page, tmp_path)
    with pytest.raises(FileNotFoundError):
        results.renewed("<!-- bench: other -->\n<!-- /bench -->", tmp_path)


def test_each_round_begins_with_another() -> None:
    rounds = [results.rotated(["a", "b", "c"], number) for number in range(4)]
    assert rounds == [["a", "b", "c"], ["b", "c", "a"], ["c", "a", "b"], ["a", "b", "c"]]
