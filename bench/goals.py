"""What is asked of the product's speed, beside what a benchmark has found: the table of bench/README.md. Pure.

`before` is what the same measure was when the goal was set, on two cores like those of today's results.
"""

from __future__ import annotations

import re
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

type Found = dict[str, Any]

HEADS = ["what", "goal", "before", "now", "command"]
MAILS = 7  # of a signup
NOT_MEASURED = "not measured"


@dataclass(frozen=True)
class Goal:
    """A row; `now` reads its figure in the benchmark's result, and finds nothing where another size was measured."""

    what: str
    goal: str
    before: str
    bench: str
    now: Callable[[Found], str]


def _fleet(what: str, tell: Callable[[dict[str, float]], str]) -> Callable[[Found], str]:
    """Of the measurement that is called so; `tell` is given each tool's median in seconds."""

    def now(found: Found) -> str:
        for name, times in found["raw"].items():
            if name.startswith(what):
                return tell({tool: statistics.median(seconds) for tool, seconds in times.items()})
        return ""

    return now


def _no_op(hosts: int) -> Callable[[Found], str]:
    return _fleet(f"{hosts} hosts, nothing to do", lambda median: f"{median['hublab'] / median['bash']:.1f} × bash")


def _run(field: str, unit: str) -> Callable[[Found], str]:
    def now(found: Found) -> str:
        costs = [one[field] for one in found["raw"]["ours, forked"] if field in one]
        return f"{statistics.median(costs):.3g}{unit}" if costs else ""

    return now


def _of(size: int, tell: Callable[[Found, int], str]) -> Callable[[Found], str]:
    """With Notion at that limit, or a burst of that size; `tell` is given the figures, and of how many signups."""

    def now(found: Found) -> str:
        raw = found["raw"].get(str(size))
        return tell(raw, len(raw["scheduled"])) if raw else ""

    return now


def _mails_a_minute(raw: Found, signups: int) -> str:
    return f"{60 * MAILS * signups / raw['sent']:.0f}"


def _cpu(part: str) -> Callable[[Found, int], str]:
    return lambda raw, signups: f"{raw['cpu'][part] / MAILS / signups:.2f} s"


def _notion_calls(raw: Found, signups: int) -> str:
    return f"{raw['calls']['notion'] / signups:.1f}"


def _scheduled(raw: Found, _: int) -> str:
    return f"{statistics.quantiles(raw['scheduled'], n=20)[18]:.1f} s"


def _sent(raw: Found, _: int) -> str:
    return f"{raw['sent']:.0f} s"


def _waits(field: str) -> Callable[[Found], str]:
    return lambda found: f"{statistics.median(found['raw'][field]):.2f} s"


def _turn(found: Found) -> str:
    moves = [one["moves"] for one in found["raw"] if (one["hosts"], one["workers"]) == (1, 3)]
    return f"{statistics.median(moves[0]):.1f} s" if moves else ""


def _longest(found: Found) -> str:
    return f"{max(float(row[1].split()[0]) for row in found['rows'])} s"


GOALS = (
    Goal("requests to Prefect, a mail", "≤ 20", "55 to 78", "prefect_requests", lambda found: str(found["rows"][0][3])),
    Goal("CPU a mail: worker host", "≤ 0.30 s", "0.81 s", "flows_workers", _of(600, _cpu("host"))),
    Goal("CPU a mail: Prefect and PostgreSQL", "≤ 0.40 s", "0.75 s", "flows_workers", _of(600, _cpu("server"))),
    Goal("mails a minute, Notion at 600", "≥ 150", "66", "flows_workers", _of(600, _mails_a_minute)),
    Goal("mails a minute, Notion at 180", "≥ 70", "51", "flows_workers", _of(180, _mails_a_minute)),
    Goal("calls to Notion, a signup with its deliveries", "≤ 17", "24", "flows_workers", _of(180, _notion_calls)),
    Goal(
        "calls to Notion, a signup without them, nothing read ahead",
        "–",
        "16",
        "flows_calls",
        lambda found: f"{found['raw']['notion']:.0f}",
    ),
    Goal("20 signups at once: scheduled (p95)", "≤ 8 s", "155 s", "flows_burst", _of(20, _scheduled)),
    Goal("200 signups in ten seconds: scheduled (p95)", "≤ 60 s", "–", "flows_burst", _of(200, _scheduled)),
    Goal("200 signups in ten seconds: the last first mail at Resend", "≤ 150 s", "–", "flows_burst", _of(200, _sent)),
    Goal(
        "webhooks accepted a second, Prefect away",
        "≥ 20",
        "38",
        "flows_webhooks",
        lambda found: f"{found['raw']['a second']:.0f}",
    ),
    Goal(
        "the spool is emptied, a second",
        "≥ 50",
        "11",
        "flows_away",
        lambda found: f"{found['raw']['offered'] / found['raw']['seconds']:.0f}",
    ),
    Goal(
        "trivial runs a minute, the server beside",
        "≥ 180",
        "79 to 99",
        "starts",
        lambda found: f"{found['raw']['a_minute']:.0f}",
    ),
    Goal("claim to Running, a run alone", "≤ 0.3 s", "–", "starts", _waits("delays")),
    Goal("due at once to Running, a run alone (median)", "≤ 1 s", "2.5 s", "starts", _waits("waited")),
    Goal("requests a second, of an idle worker", "≤ 1", "–", "starts", lambda found: f"{found['raw']['requests']:.2f}"),
    Goal(
        "Prefect's server at idle, three workers, of a core",
        "≤ 4 %",
        "12 %",
        "starts",
        lambda found: f"{found['raw']['share']:.1%}, {found['raw']['without']:.1%} without workers",
    ),
    Goal("claim to Running, four at once", "–", "0.83 to 1.34 s", "worker_start", _run("delay_seconds", " s")),
    Goal("memory an engine", "≤ 30 MB", "48 MB", "worker_start", _run("megabytes", " MB")),
    Goal("deploy with nothing to do, one host", "≤ 2 × bash", "2.8 × bash", "deploy_compare", _no_op(1)),
    Goal("deploy with nothing to do, ten hosts", "≤ 1.5 × bash", "2.0 × bash", "deploy_compare_10", _no_op(10)),
    Goal(
        "`./hublab status` of ten hosts",
        "≤ 1.5 s",
        "–",
        "deploy_compare_10",
        _fleet("10 hosts, `./hublab status`", lambda median: f"{median['hublab']:.1f} s"),
    ),
    Goal("a worker's turn in a rolling restart, gate included", "≤ 4 s", "7.9 s", "scale", _turn),
    Goal("API away: after it, until every place is taken", "≤ 30 s", "52 to 95 s", "api_away", _longest),
)


def rows(results: Mapping[str, Found]) -> Iterator[list[str]]:
    """Each goal with what was found, then each fault with the longest that its recovery may take.

    Args:
        results: By the benchmark's name, of those that have been run.
    """
    for goal in GOALS:
        found = results.get(goal.bench)
        now = goal.now(found) if found else ""
        yield [goal.what, goal.goal, goal.before, now or NOT_MEASURED, _command(goal.bench, found if now else None)]
    recovery = results.get("recovery", {})
    for fault, most, measured in recovery.get("rows", []):
        yield [f"the run goes on: {fault}", most, "–", measured, _command("recovery", recovery)]


def benchmark(name: str) -> str:
    """Whose result has this name: where one has several, of one size each, the size is at its end."""
    return re.sub(r"_\d+$", "", name)


def _command(bench: str, found: Found | None) -> str:
    if not found:
        return f"`python -m bench.{benchmark(bench)}`"
    load = "load unknown" if found["load"] is None else f"load {found['load']}"
    return f"`{found['command']}`, {found['date']}, {load}"
