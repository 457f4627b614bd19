"""What became of the mutants of `make mutants`: a row for each room, each survivor by name; exit 1 below 90 %.

Run as `python -m tests.mutants` beside the folder `mutants`. What was not tried, because the budget ended first, is
told and counts for nothing.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path

from mutmut.stats import status_by_exit_code

LEAST = 0.9
# A mutant that hangs is noticed as much as one that fails a test.
NOTICED = ("killed", "timeout", "segfault")
UNTRIED = "not checked"


def results(folder: Path) -> dict[str, dict[str, str]]:
    """Room → its mutants by name → what became of each."""
    found = {}
    for path in sorted(folder.rglob("*.py.meta")):
        codes = json.loads(path.read_text())["exit_code_by_key"]
        if codes:
            found[str(path.relative_to(folder)).removesuffix(".meta")] = {
                name: status_by_exit_code[code] for name, code in codes.items()
            }
    return found


def row(room: str, states: dict[str, str]) -> tuple[str, bool]:
    """A room's line, and whether enough of its mutants were noticed."""
    counts = Counter(states.values())
    tried = len(states) - counts[UNTRIED]
    noticed = sum(counts[state] for state in NOTICED)
    share = noticed / tried if tried else 0.0
    untried = f", {counts[UNTRIED]} not tried" if counts[UNTRIED] else ""
    return f"{room:36} {noticed:4} of {tried:4}  {share:4.0%}{untried}", not tried or share >= LEAST


def main(folder: Path = Path("mutants")) -> int:
    """Print it."""
    found = results(folder)
    for states in found.values():
        for name, state in states.items():
            if state not in (*NOTICED, UNTRIED):
                print(f"{state}: {name}")  # noqa: T201 - its only output
    rows = [row(room, states) for room, states in found.items()]
    print("\n".join(line for line, _ in rows))  # noqa: T201
    return 0 if found and all(good for _, good in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
