"""Somebody at a keyboard, who runs the project's commands from a checkout against one `.env`."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

from sandbox import env_file
from sandbox.layout import CHECKOUT

DEPLOY = ("pyinfra", "-y", "deploy/inventory.py", "deploy/workers.py")


@dataclass
class Result:
    """What a command ended with and all that it printed."""

    status: int
    text: str


@dataclass
class Operator:
    """Runs the README's commands against one inventory file, whose settings are these.

    `timeout`: how many seconds each may take.
    """

    env_file: Path
    settings: dict[str, str]
    checkout: Path = CHECKOUT
    timeout: float = 900

    def write(self, **overrides: str | None) -> None:
        """Puts the settings into the inventory file, some of them changed or, with None, removed."""
        values = {key: value for key, value in (self.settings | overrides).items() if value is not None}
        env_file.write(self.env_file, values)

    def begin(self, *command: str, **overrides: str | None) -> subprocess.Popen[str]:
        """Begins one command of the venv with these settings; stdout has its stderr as well, line by line."""
        self.write(**overrides)
        program = str(Path(sys.executable).with_name(command[0]))
        return subprocess.Popen(
            # A shell that runs us in the background has its children ignore Control-C; an operator's does not.
            ["env", "--default-signal=INT,HUP,TERM", program, *command[1:]],
            cwd=self.checkout,
            env=os.environ
            | {"HUBLAB_ENV_FILE": str(self.env_file), "PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *command: str, **overrides: str | None) -> Result:
        """Runs it to its end.

        Raises:
            subprocess.TimeoutExpired: It took longer; it has been killed.
        """
        with self.begin(*command, **overrides) as process:
            try:
                text, _ = process.communicate(timeout=self.timeout)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
        return Result(process.returncode, text)

    def deploy(self, *options: str, **overrides: str | None) -> Result:
        """`./hublab deploy`."""
        return self.run(*DEPLOY[:2], *options, *DEPLOY[2:], **overrides)

    def plan(self, **overrides: str | None) -> Result:
        """`./hublab plan`."""
        return self.run("pyinfra", "--dry", *DEPLOY[2:], **overrides)

    def at(self, checkout: Path) -> Operator:
        """The same person with another checkout."""
        return replace(self, checkout=checkout)

    def verify(self, *only: str, **overrides: str | None) -> Result:
        """`./hublab verify`, or the named checks of it."""
        quiet = ("-q", "-p", "no:cacheprovider", "--no-header", "-rf", "--tb=line")
        chosen = ("-k", " or ".join(only)) if only else ()
        return self.run("pytest", *quiet, *chosen, "tests/infra", **overrides)
