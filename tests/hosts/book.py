"""The table of faults and outcomes in the docs, made by the run itself."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

COLUMNS = ("fault", "what the deploy did", "the next deploy", "flow runs meanwhile")
# `make faults` asks for every one, and names the run; `make test-all` tries a few.
RUN = os.environ.get("HUBLAB_FAULTS", "")
ALL = bool(RUN)
# What a fault is tried on: a commit that changes tests or docs alone changes nothing of it.
PRODUCT = ("deploy", "worker", "flows", "sandbox", "requirements.lock", "pyproject.toml")


def commit(root: Path) -> str:
    """The last one that changed the product, and whether something is changed that was not committed."""

    def git(*words: str) -> str:
        done = subprocess.run(["git", *words, "--", *PRODUCT], cwd=root, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    return git("log", "-1", "--format=%h", "--abbrev=12") + ("-dirty" if git("status", "--porcelain") else "")


HEAD = (
    "# Faults on purpose, and what came of them",
    "",
    "Written by `make faults` at commit {commit}: each line is one fault on a real host (Debian 12,",
    "systemd, three workers) or on one of three hosts, most of them while short flow runs go on arriving.",
    "After each, the workers serve and the next deploy converges by itself.",
)


@dataclass
class Book:
    """The table as one run of `make faults` saw it, at one commit; several lanes of that run write it."""

    path: Path
    kept: Path
    commit: str
    run: str = RUN
    columns: tuple[str, ...] = COLUMNS
    head: tuple[str, ...] = HEAD

    def add(self, *cells: str) -> None:
        """One row; what was seen last counts. Rows of other runs and other commits are dropped."""
        assert len(cells) == len(self.columns), cells
        if not self.run:
            return
        self.kept.parent.mkdir(exist_ok=True)
        with self.kept.open("a+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(0)
            found = json.loads(file.read() or "{}")
            same = (found.get("run"), found.get("commit")) == (self.run, self.commit)
            rows = {**(found["rows"] if same else {}), cells[0]: cells}
            file.truncate(0)
            json.dump({"run": self.run, "commit": self.commit, "rows": rows}, file)
            self.path.write_text(self.page(rows))

    def page(self, rows: dict[str, tuple[str, ...]]) -> str:
        """As Markdown."""
        lines = [
            *(line.format(commit=self.commit) for line in self.head),
            "",
            "| " + " | ".join(self.columns) + " |",
            "|---" * len(self.columns) + "|",
            *("| " + " | ".join(rows[name]) + " |" for name in sorted(rows)),
        ]
        return "\n".join(lines) + "\n"
