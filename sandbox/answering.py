"""A module of the project as a process of the sandbox, which answers with one line when it serves."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

from sandbox.layout import CHECKOUT
from sandbox.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from sandbox.cgroup import Cgroup


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
    wait_for(lambda: answer.read_text().endswith("\n"), f"{module[0]} serves; see {log}", 60)
    return answer.read_text().strip()
