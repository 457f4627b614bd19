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
def talk(until: str) -> None:
    """Be in flight until this file is there, and say much more than a pipe holds: whoever started it must listen."""
    while not os.path.exists(until):  # noqa: PTH110 - as people write flows
        print("and another thing " * 200, flush=True)
        time.sleep(0.5)


@flow
def boom() -> None:
    """Crash, each time."""
    os.kill(os.getpid(), signal.SIGKILL)
