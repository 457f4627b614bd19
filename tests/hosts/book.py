"""The table of faults and outcomes in the docs, made by the run itself."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

COLUMNS = ("fault", "what the deploy did", "the next deploy", "flow runs meanwhile")
# `make faults` asks for every one; `make test-all` tries a few.
ALL = bool(os.environ.get("HUBLAB_FAULTS"))


@dataclass
class Row:
    """One line of the table of faults."""

    fault: str
    outcome: str
    next_deploy: str
    runs: str


@dataclass
class Book:
    """The table of faults and outcomes, as the run itself saw them."""

    path: Path
    rows: list[Row] = field(default_factory=list)

    def write(self) -> None:
        """As Markdown, when every fault is asked for."""
        if not ALL:
            return
        lines = [
            "# Faults on purpose, and what came of them",
            "",
            "Written by `make faults`: each line is one fault on a real host (Debian 12, systemd, two workers) while",
            "short flow runs go on arriving. After each, the workers serve and the next deploy converges by itself.",
            "A claim that a power cut left open is freed after a minute here, not after the usual time.",
            "",
            "| " + " | ".join(COLUMNS) + " |",
            "|---|---|---|---|",
            *(f"| {row.fault} | {row.outcome} | {row.next_deploy} | {row.runs} |" for row in self.rows),
        ]
        self.path.write_text("\n".join(lines) + "\n")

    def read(self) -> None:
        """The rows of an earlier run, so that faults may be tried a few at a time."""
        for line in self.path.read_text().splitlines() if self.path.exists() else []:
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            if len(cells) == len(COLUMNS) and cells[0] not in (COLUMNS[0], "---"):
                self.add(*cells)

    def add(self, *cells: str) -> None:
        """One fault; what was seen last counts."""
        row = Row(*cells)
        self.rows = sorted([item for item in self.rows if item.fault != row.fault] + [row], key=lambda item: item.fault)
        self.write()
