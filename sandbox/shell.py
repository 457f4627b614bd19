"""Running programs, and telling the operator how far they are."""

from __future__ import annotations

import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sandbox.errors import SandboxError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

_SHOWN = 15  # lines of a failed program's output that go into the error


def run(  # noqa: PLR0913 - one line per thing that a caller may decide
    command: Sequence[str | Path],
    *,
    timeout: float,
    check: bool = True,
    stdin: str | None = None,
    env: Mapping[str, str] | None = None,
    shown: str | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end and capture what it says.

    Args:
        command: Program and arguments.
        timeout: Seconds after which it is killed.
        check: Whether an exit status other than 0 is an error.
        stdin: Text to feed it; nothing by default.
        env: Its whole environment; this process's own by default.
        shown: What an error calls it; its command line by default.

    Raises:
        SandboxError: It could not be started, failed (with ``check``), or ran out of time.
    """
    argv = [str(part) for part in command]
    what = (shown or " ".join(argv))[:200]
    try:
        done = subprocess.run(
            argv,
            input=stdin or "",
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            check=False,
            env=env,
        )
    except FileNotFoundError as error:
        raise SandboxError(f"{argv[0]} is not installed (needed for: {what})") from error
    except subprocess.TimeoutExpired as error:
        raise SandboxError(f"{what}: not done after {timeout:.0f} s") from error
    if check and done.returncode:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()[-_SHOWN:]
        raise SandboxError(f"{what}: exit status {done.returncode}\n  " + "\n  ".join(said))
    return done


@contextmanager
def step(text: str) -> Iterator[None]:
    """Print one line with the seconds that the body took, whatever its end."""
    began = time.monotonic()
    mark = "failed"
    try:
        yield
        mark = "ok"
    finally:
        say(f"{text:<58} {mark:>6} {time.monotonic() - began:6.1f} s")


def say(text: str) -> None:
    """Print one line of progress, at once, on stderr: stdout belongs to the answer."""
    sys.stderr.write(f"sandbox: {text}\n")
    sys.stderr.flush()
