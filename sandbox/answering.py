"""A module of the project as a process of the sandbox, which answers with one line when it serves."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from sandbox.errors import SandboxError
from sandbox.layout import CHECKOUT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from sandbox.cgroup import Cgroup

_START_SECONDS = 60.0


def start(
    processes: Cgroup,
    module: Sequence[str],
    *,
    answer: Path,
    log: Path,
    environment: Mapping[str, str] | None = None,
) -> str:
    """Start ``python -m module`` in a cgroup, in place of what runs there, and return the line that it answers.

    Args:
        processes: Where it lives; whatever is in it is ended first.
        module: What is started, from the checkout, and its arguments, which every process of this machine can read.
        answer: The file that keeps its line.
        log: The file that gets what it says besides.
        environment: Variables beside this process's own, for what others must not read.

    Raises:
        SandboxError: It did not answer within a minute.
    """
    processes.kill()
    command = processes.enter([sys.executable, "-m", *module])
    log.parent.mkdir(parents=True, exist_ok=True)
    with answer.open("wb") as out, log.open("ab") as errors:
        subprocess.Popen(
            command,
            cwd=CHECKOUT,
            env=os.environ | dict(environment or {}),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=errors,
            start_new_session=True,
        )
    deadline = time.monotonic() + _START_SECONDS
    while not (line := answer.read_text()).endswith("\n"):
        if time.monotonic() > deadline:
            raise SandboxError(f"{module[0]} did not start within {_START_SECONDS:g} s; see {log}")
        time.sleep(0.1)
    return line.strip()
