"""The docs' figures are those of bench/results, and a new result makes the table that it says."""

from __future__ import annotations

import json
from pathlib import Path

from bench import deploy_compare, goals, results


def test_tables_of_the_docs_are_made_from_the_results() -> None:
    named = [
        name for page in results.PAGES for _, name, *_ in results._BLOCK.findall((results.ROOT / page).read_text())
    ]
    writing = {path.stem for path in Path(goals.__file__).parent.glob("*.py") if "results.write(" in path.read_text()}
    assert len(named) == len({*named}), "each table once"
    assert {*map(goals.benchmark, named)} == {*writing, *results.COMPUTED}, "each benchmark has its table"
    assert {goals.benchmark(path.stem) for path in results.FOLDER.glob("*.json")} <= writing
    assert {goals.benchmark(goal.bench) for goal in goals.GOALS} <= writing
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
    other = results.renewed("<!-- bench: other -->\nold\n<!-- /bench -->", tmp_path)
    assert other == "<!-- bench: other -->\nNot measured: `python -m bench.other`.\n<!-- /bench -->"


def row(what: str, **found: goals.Found) -> list[str]:
    """The goals' row of that name, of these results."""
    return next(cells for cells in goals.rows(found) if cells[0] == what)


def test_goal_stands_beside_what_was_found_and_how() -> None:
    times = {"bash": [1.0, 2.0, 9.0], "hublab": [3.0, 6.0, 4.0]}
    under = {"date": "today", "load": "0.1, 0.1, 0.1", "command": "python -m bench.deploy_compare --hosts 10"}
    ten = under | {"raw": {"10 hosts, nothing to do (of 3)": times, "10 hosts, first deploy (of 1)": {}}}
    name = "deploy with nothing to do, ten hosts"
    assert row(name, deploy_compare_10=ten) == [
        name,
        "≤ 1.5 × bash",
        "2.0 × bash",
        "2.0 × bash",
        "`python -m bench.deploy_compare --hosts 10`, today, load 0.1, 0.1, 0.1",
    ]
    for other in (row("deploy with nothing to do, one host", deploy_compare_10=ten), row(name)):
        assert other[3:] == ["not measured", "`python -m bench.deploy_compare`"], "another size is another figure"


def test_what_has_no_rival_is_told_without_a_ratio() -> None:
    found = {
        "10 hosts, nothing to do": {"bash": [1.0], "hublab": [2.0]},
        "10 hosts, `./hublab status`": {"hublab": [3.0]},
    }
    assert deploy_compare.table(found).rows[1] == ["10 hosts, `./hublab status`", "–", "3.00 s"]
    under = {"date": "today", "load": "0.1, 0.1, 0.1", "command": "c", "raw": found}
    assert row("`./hublab status` of ten hosts", deploy_compare_10=under)[3] == "3.0 s"


def test_mails_a_minute_are_those_of_notions_limit() -> None:
    raw = {
        "sent": 100.0,
        "scheduled": [1.0] * 19 + [9.0],
        "cpu": {"host": 28.0, "server": 42.0},
        "calls": {"notion": 340},
    }
    found = {
        "date": "today",
        "load": None,
        "command": "python -m bench.flows_workers --notion 600",
        "raw": {"600": raw},
    }
    assert row("mails a minute, Notion at 600", flows_workers=found)[3] == "84"
    assert row("mails a minute, Notion at 180", flows_workers=found)[3] == "not measured"
    assert row("CPU a mail: worker host", flows_workers=found)[3] == "0.20 s"
    assert (
        row("calls to Notion, a signup with its deliveries", flows_workers=found | {"raw": {"180": raw}})[3] == "17.0"
    )


def test_a_burst_is_told_by_its_own_size() -> None:
    one = {"sent": 149.6, "scheduled": [1.0] * 19 + [9.0]}
    found = {"date": "today", "load": None, "command": "python -m bench.flows_burst", "raw": {"200": one}}
    assert row("200 signups in ten seconds: scheduled (p95)", flows_burst=found)[3] == "8.6 s"
    assert row("200 signups in ten seconds: the last first mail at Resend", flows_burst=found)[3] == "150 s"
    assert row("20 signups at once: scheduled (p95)", flows_burst=found)[3] == "not measured"


def test_each_fault_is_beside_its_limit() -> None:
    found = {
        "date": "today",
        "load": None,
        "command": "python -m bench.recovery",
        "rows": [["a fault", "15 s", "13 s"]],
    }
    assert row("the run goes on: a fault", recovery=found)[1:4] == ["15 s", "–", "13 s"]


def test_each_round_begins_with_another() -> None:
    rounds = [results.rotated(["a", "b", "c"], number) for number in range(4)]
    assert rounds == [["a", "b", "c"], ["b", "c", "a"], ["c", "a", "b"], ["a", "b", "c"]]
