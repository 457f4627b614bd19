"""Flows for the worker's tests. Each attempt adds lines to the file `mark`, when it begins and when it ends."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from prefect import flow, get_run_logger, pause_flow_run, suspend_flow_run, task
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun
from prefect.context import FlowRunContext
from prefect.exceptions import PrefectHTTPStatusError
from prefect.variables import Variable


def _note(mark: str, word: str) -> None:
    with Path(mark).open("a") as file:
        file.write(f"{word} {os.getpid()}\n")


def _child(mark: str) -> None:
    code = "import signal, time; signal.signal(15, signal.SIG_IGN); print(flush=True); time.sleep(600)"
    child = subprocess.Popen([sys.executable, "-S", "-c", code], stdout=subprocess.PIPE)
    assert child.stdout
    child.stdout.readline()
    _note(mark, f"child {child.pid} of")


def _wait(until: str) -> None:
    while not Path(until).exists():
        time.sleep(0.1)


@flow
def asks(mark: str, name: str) -> None:
    """Ask Prefect for something of the flow's own, and go on where that is refused."""
    _note(mark, "begin")
    try:
        Variable.get(name)
    except PrefectHTTPStatusError as error:
        _note(mark, f"refused {error.response.status_code} of")


@flow
def knows(mark: str) -> None:
    """Write down the run as the context has it, and as the server."""
    with get_client(sync_client=True) as client:
        _write_down(mark, client.read_flow_run(_seen().id))


@flow
async def knows_too(mark: str) -> None:
    """The same from an asynchronous flow."""
    async with get_client() as client:
        _write_down(mark, await client.read_flow_run(_seen().id))


def _seen() -> Any:
    context: Any = FlowRunContext.get()
    return context.flow_run


def _write_down(mark: str, read: FlowRun) -> None:
    Path(mark).write_text(f"{_seen().model_dump_json()}\n{read.model_dump_json()}")


@flow
def until(mark: str, gate: str, *, child: bool = False) -> None:
    """Print, wait until the file `gate` is there, print again. The `child` outlives SIGTERM."""
    if child:
        _child(mark)
    _note(mark, "begin")
    print("began", flush=True)  # noqa: T201
    _wait(gate)
    print("ends", flush=True)  # noqa: T201
    _step()
    _note(mark, "end")


@task
def _step() -> None:
    """A task, so that the engine has more to tell the API than its own end."""


@flow
def steps(mark: str, gate: str) -> None:
    """Take one step after another until the file `gate` is there."""
    _note(mark, "begin")
    while not Path(gate).exists():
        _step()
        time.sleep(0.2)
    _note(mark, "end")


@flow
def forks(mark: str, gate: str) -> None:
    """Have a process of the same title, as multiprocessing has them."""
    if not (child := os.fork()):
        signal.pause()
    _note(mark, f"child {child} of")
    _note(mark, "begin")
    _wait(gate)
    os.kill(child, signal.SIGKILL)


@flow
def logs(file: str) -> None:
    """Log a line while a file of its own is open."""
    with Path(file).open("w") as own:
        get_run_logger().info("a line of the log")
        own.write("a line of its own\n")


@flow
def stubborn(mark: str, gate: str) -> None:
    """Ignore SIGTERM, in a child as well."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    _child(mark)
    _note(mark, "begin")
    _wait(gate)


@flow
def killed(mark: str) -> None:
    """Die as the kernel's OOM killer would have it."""
    _note(mark, "begin")
    os.kill(os.getpid(), signal.SIGKILL)


def _hook(flow: Any, flow_run: Any, state: Any) -> None:
    _note(flow_run.parameters["mark"], f"hook {state.name} of {flow_run.state.name} in")


@flow(on_cancellation=[_hook], on_crashed=[_hook])
def hooked(mark: str, gate: str) -> None:
    """Have hooks."""
    _note(mark, "begin")
    _wait(gate)


def _harmful(flow: Any, flow_run: Any, state: Any) -> None:
    try:
        Path(flow_run.parameters["forbidden"]).touch()
    except OSError as error:
        Path(flow_run.parameters["out"]).write_text(type(error).__name__)


@flow(on_crashed=[_harmful])
def harmful_hook(mark: str, gate: str, forbidden: str, out: str) -> None:
    """Have a hook that writes where it must not."""
    _note(mark, "begin")
    _wait(gate)


@flow
def inner(gate: str) -> str:
    """A sub-flow that waits."""
    _wait(gate)
    return "inner"


@flow
def outer(mark: str, gate: str) -> None:
    """Wait in a sub-flow."""
    _note(mark, "begin")
    inner(gate)
    _note(mark, "end")


@flow
def suspends(mark: str) -> None:
    """Leave the process until somebody resumes the run."""
    _note(mark, "begin")
    suspend_flow_run(timeout=600, key="once")
    _note(mark, "end")


@flow
def pauses(mark: str) -> None:
    """Stay in the process until somebody resumes the run."""
    _note(mark, "begin")
    pause_flow_run(timeout=600, poll_interval=1, key="once")
    _note(mark, "end")
