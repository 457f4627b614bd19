"""Flows that lie on the host of before, in /opt/prefect/flows."""

import os
import signal
import time

from prefect import flow


@flow
def greet(name: str = "Hublab") -> str:
    """Return at once: whoever cannot run this can run nothing."""
    return f"Hello, {name}"


@flow
def nap(seconds: float = 60) -> float:
    """Be in flight for a while, in one process that a stop of the worker must not end."""
    time.sleep(seconds)
    return seconds


@flow
def talk(seconds: float = 60) -> float:
    """The same, and say much more meanwhile than a pipe holds: whoever started it must go on listening."""
    began = time.monotonic()
    while time.monotonic() - began < seconds:
        print("and another thing " * 200, flush=True)
        time.sleep(0.5)
    return seconds


@flow
def boom() -> None:
    """Crash, each time."""
    os.kill(os.getpid(), signal.SIGKILL)
