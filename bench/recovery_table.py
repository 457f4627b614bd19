"""The table of times in docs/long-runs.md, as `bench.recovery` writes it: a row for each fault with its last figure."""

from __future__ import annotations

from deploy.settings import ROOT
from sandbox.files import write_whole

PAGE = ROOT / "docs/long-runs.md"
HEAD = "| from | to the run going on, at the most | measured |"


def put(fault: str, measured: str) -> None:
    """Write a figure into its row, or a row below the last one."""
    lines = PAGE.read_text().splitlines()
    write_whole(PAGE, "\n".join(with_figure(lines, fault, measured)) + "\n", mode=0o644)


def with_figure(lines: list[str], fault: str, measured: str) -> list[str]:
    """The page's lines with the figure in. Pure.

    Raises:
        ValueError: There is no such table.
    """
    first = lines.index(HEAD) + 2
    last = first
    while last < len(lines) and lines[last].startswith("|"):
        cells = [cell.strip() for cell in lines[last].strip("|").split("|")]
        if cells[0] == fault:
            return [*lines[:last], f"| {fault} | {cells[1]} | {measured} |", *lines[last + 1 :]]
        last += 1
    return [*lines[:last], f"| {fault} | | {measured} |", *lines[last:]]
