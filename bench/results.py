"""What a benchmark found, as JSON below bench/results/, and the tables of the docs, made from it and nothing else.

    python -m bench.results [--check]    (--check: change nothing, exit 1 where a page differs)

A table stands between `<!-- bench: NAME -->` and `<!-- /bench -->`; `goals` is all of them beside what is asked of
them, `capacity` what follows for a large fleet. A result says with which commit, when, on what machine and under which
load it was measured; of one from before there were such files, the load is not known. What has no result is said not to
be measured.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import capacity, goals
from sandbox.checkout import commit

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

ROOT = Path(__file__).resolve().parent.parent
FOLDER = Path(__file__).with_name("results")
PAGES = ("bench/README.md", "docs/performance.md", "docs/campaign.md", "docs/long-runs.md")
COMPUTED = {"goals": goals, "capacity": capacity}
_BLOCK = re.compile(r"(<!-- bench: ([\w-]+) -->\n)(.*?)(<!-- /bench -->)", re.DOTALL)


@dataclass(frozen=True)
class Table:
    """A table of figures: its heads, and its rows as the docs show them."""

    heads: list[str]
    rows: list[list[str]]


def write(name: str, table: Table, found: Any, folder: Path = FOLDER) -> Path:
    """Keep what a run has just found, and print the table; its path.

    Args:
        name: The benchmark's, with the size behind it where each has a result of its own.
        table: What the docs show of it.
        found: Every single figure.
        folder: Where to.
    """
    kept = {
        "commit": commit(),
        "date": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "load": ", ".join(f"{one:.1f}" for one in os.getloadavg()),
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, Linux {'.'.join(platform.release().split('.')[:2])}",
        "command": f"python -m bench.{goals.benchmark(name)} {' '.join(sys.argv[1:])}".strip(),
        "heads": table.heads,
        "rows": table.rows,
        "raw": found,
    }
    print("\n".join("  ".join(cells) for cells in (table.heads, *table.rows)), flush=True)
    path = folder / f"{name}.json"
    path.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return path


def raw(name: str, folder: Path = FOLDER) -> Any:
    """Every single figure of what was found last; None where nothing was."""
    path = folder / f"{name}.json"
    return json.loads(path.read_text("utf-8"))["raw"] if path.exists() else None


def shown(found: dict[str, Any]) -> str:
    """A result as the docs have it: the table, and below it how it was measured. Pure."""
    load = found["load"]
    under = "load unknown, as that commit's docs had it" if load is None else f"load average {load}"
    how = f"`{found['command']}` at commit `{found['commit']}`, {found['date']}, {found['machine']}, {under}."
    return f"{_table(found['heads'], found['rows'])}\n{how}\n"


def rotated[Name](names: Sequence[Name], number: int) -> list[Name]:
    """The order of a round: each begins with another, so that nobody is always first on a machine that was idle."""
    turn = number % len(names)
    return [*names[turn:], *names[:turn]]


def _table(heads: list[str], rows: Iterable[list[str]]) -> str:
    return "".join(f"{line}\n" for line in (_row(heads), "|---" * len(heads) + "|", *map(_row, rows)))


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def renewed(text: str, folder: Path = FOLDER) -> str:
    """A page with each of its tables made anew."""
    found = {path.stem: json.loads(path.read_text("utf-8")) for path in folder.glob("*.json")}

    def table(block: re.Match[str]) -> str:
        name = block[2]
        if name in COMPUTED:
            made = _table(COMPUTED[name].HEADS, COMPUTED[name].rows(found))
        elif name in found:
            made = shown(found[name])
        else:
            made = f"Not measured: `python -m bench.{goals.benchmark(name)}`.\n"
        return f"{block[1]}{made}{block[4]}"

    return _BLOCK.sub(table, text)


def main(arguments: list[str] | None = None) -> int:
    """Make all tables; 1 where `--check` finds one that is not as its result."""
    parser = argparse.ArgumentParser(prog="python -m bench.results")
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args(arguments).check
    wrong = []
    for page in PAGES:
        path = ROOT / page
        before = path.read_text("utf-8")
        if (after := renewed(before)) != before:
            wrong.append(page)
            if not check:
                path.write_text(after, "utf-8")
    for page in wrong:
        print(f"{page}: {'its tables differ from bench/results; python -m bench.results' if check else 'renewed'}")
    return 1 if check and wrong else 0


if __name__ == "__main__":
    sys.exit(main())
