"""A flow whose end is in the hand of whoever started it. Each attempt adds lines to `mark` when it begins and ends."""

import os
import time
from pathlib import Path

from prefect import flow, task


def note(mark: str, word: str) -> None:
    """Add a line with this process's id."""
    with Path(mark).open("a") as file:
        file.write(f"{word} {os.getpid()}\n")


@flow
def until(mark: str, gate: str) -> None:
    """Print, wait until the file `gate` is there, print again."""
    note(mark, "begin")
    print("began", flush=True)
    while not Path(gate).exists():
        time.sleep(0.1)
    print("ends", flush=True)
    step()
    note(mark, "end")


@flow
def trivial() -> None:
    """Print a line."""
    print("here", flush=True)


@task
def step() -> None:
    """A task, so that the engine has more to tell the API than its own end."""
