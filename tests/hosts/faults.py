"""Faults on purpose: a deploy that is struck at a chosen moment, and the outcome."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tests.hosts.conftest import Result

if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox import Machine
    from tests.hosts.conftest import Operator

COLUMNS = ("fault", "what the deploy did", "the next deploy", "flow runs meanwhile")
# `make faults` asks for every one; `make test` tries the essential ones.
ALL = bool(os.environ.get("HUBLAB_FAULTS"))
MOMENTS = {
    "activate": r"Starting operation: activate",
    "install": r"Starting operation: install",
    "start": r"hublab-1-1: starting",
    "gate": r"hublab-1-1: ready after",
    "second worker": r"hublab-1-2: (draining|starting)",
    "end": r"hublab-1-2: ONLINE",
}


class Struck:
    """A deploy that runs while something happens to it."""

    def __init__(self, operator: Operator, **overrides: str | None) -> None:
        operator.write(**overrides)
        environment = os.environ | {"HUBLAB_ENV_FILE": str(operator.env_file), "PYTHONUNBUFFERED": "1"}
        command = [str(Path(sys.executable).with_name("pyinfra")), "-y", "deploy/inventory.py", "deploy/workers.py"]
        self.process = subprocess.Popen(
            command,
            cwd=operator.checkout,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.lines: list[str] = []
        self._changed = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            with self._changed:
                self.lines.append(line)
                self._changed.notify_all()

    def until(self, pattern: str, *, timeout: float = 240) -> None:
        """Returns as soon as a line of the deploy's says so."""
        with self._changed:
            seen = self._changed.wait_for(lambda: any(re.search(pattern, line) for line in self.lines), timeout)
        assert seen, f"{pattern} was not said:\n{''.join(self.lines)}"

    def end(self, *, timeout: float = 600) -> Result:
        """What it ended with."""
        status = self.process.wait(timeout)
        self._reader.join(30)
        return Result(status, "".join(self.lines))

    def kill(self) -> None:
        """The operator's process is gone from one moment to the next."""
        self.process.kill()
        self.end()


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

    rows: list[Row] = field(default_factory=list)

    def write(self, path: Path) -> None:
        """As Markdown."""
        lines = [
            "# Faults on purpose, and what came of them",
            "",
            "Written by `make faults`: each line is one fault on a real host (Debian 12, systemd, two workers) while",
            "short flow runs go on arriving. After each, the workers serve and the next deploy converges by itself.",
            "",
            "| " + " | ".join(COLUMNS) + " |",
            "|---|---|---|---|",
            *(f"| {row.fault} | {row.outcome} | {row.next_deploy} | {row.runs} |" for row in self.rows),
        ]
        path.write_text("\n".join(lines) + "\n")

    def read(self, path: Path) -> None:
        """The rows of an earlier run, so that faults may be tried a few at a time."""
        for line in path.read_text().splitlines() if path.exists() else []:
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            if len(cells) == len(COLUMNS) and cells[0] not in (COLUMNS[0], "---"):
                self.add(Row(*cells))

    def add(self, row: Row) -> None:
        """One fault; what was seen last counts."""
        self.rows = sorted([item for item in self.rows if item.fault != row.fault] + [row], key=lambda item: item.fault)


def cut_ssh(machine: Machine) -> None:
    """Every SSH session of the host ends, this one's own too."""
    machine.ssh("pkill -KILL -f '^sshd: .*@notty'", check=False)


def cut_power(machine: Machine) -> None:
    """Every process of the host ends at once; then it is switched on again."""
    machine.kill()
    machine.boot()


STRIKES: dict[str, Callable[[Struck, Machine], None]] = {
    "the operator's process is killed": lambda struck, _: struck.kill(),
    "SSH is cut": lambda _, machine: cut_ssh(machine),
    "the power is cut": lambda _, machine: cut_power(machine),
}
