"""A command line that starts nothing."""

from __future__ import annotations

import json
import os
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from cli import campaign, coolify, fleet, proof, sandbox
from cli.app import app


class Typed:
    """The programs that a command line became, with the environment it gave them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.programs: list[list[str]] = []
        self.environment: dict[str, str] = {}
        self.plan: list[dict[str, Any]] = []
        self.status = 0
        for room in (fleet, campaign, coolify, sandbox, proof):
            monkeypatch.setattr(room, "become", self.become)
        monkeypatch.setattr(fleet, "run", self.run)

    def become(self, command: list[str], **environment: str) -> None:
        self.run(command, **environment)
        raise typer.Exit(self.status)

    def run(self, command: list[str], **environment: str) -> int:
        self.programs.append([Path(command[0]).name, *command[1:]])
        self.environment |= environment | {key: os.environ[key] for key in ("LIMIT",) if key in os.environ}
        for word in command:
            if word.startswith("plan_file=") and not self.status:
                Path(word.partition("=")[2]).write_text(json.dumps(self.plan))
        return self.status

    def __call__(self, line: str) -> tuple[int, str]:
        """Exit status, and what was said."""
        done = CliRunner().invoke(app, shlex.split(line), prog_name="hublab")
        if done.exception and not isinstance(done.exception, SystemExit):
            raise done.exception
        return done.exit_code, done.output


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> Typed:
    """A command line without any host or sandbox."""
    monkeypatch.setenv("LIMIT", "")  # so that what a command line sets is taken back
    monkeypatch.delenv("LIMIT")
    monkeypatch.setattr(fleet, "hosts_file", lambda: None)
    return Typed(monkeypatch)


@pytest.fixture
def production(monkeypatch: pytest.MonkeyPatch, typed: Typed) -> Typed:
    """The same where `.env` names hosts."""
    monkeypatch.setattr(fleet, "hosts_file", lambda: Path(".env"))
    return typed
