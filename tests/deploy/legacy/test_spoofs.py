"""What any user of a host can make of a process is neither run nor believed by root, and does nothing to a terminal."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from deploy import remote
from deploy.legacy import find
from deploy.legacy.environment import starts_worker
from deploy.onhost.common import HostError
from deploy.onhost.wire import decode
from deploy.state import Claim, HostState, Legacy, question
from sandbox.waiting import wait_for
from tests.deploy.factories import legacy, wanted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

WORDS = ["prefect", "worker", "start"]


def everyone() -> tuple[tuple[Legacy, ...], tuple[Claim, ...]]:
    return find.everyone("/etc/systemd/system", "/opt/hublab")


@pytest.fixture
def start() -> Iterator[Callable[..., int]]:
    """Starts processes that wait for their standard input to end, under any argument list."""
    started: list[subprocess.Popen[bytes]] = []

    def start(executable: Path | str, argv: list[str | bytes], **more: Any) -> int:
        process = subprocess.Popen(argv, executable=executable, stdin=subprocess.PIPE, **more)
        started.append(process)
        # The kernel shows them a moment after the start.
        wait_for(lambda: find.arguments(process.pid), "its arguments", 20, every=0.01)
        return process.pid

    yield start
    for process in started:
        process.kill()
        process.wait(180)


def claim_of(pid: int) -> Claim:
    workers, claims = everyone()
    assert pid not in [item.pid for item in workers]
    (found,) = [item for item in claims if item.pid == pid]
    return found


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    """A file that is there as soon as somebody has run what the spoof offers."""
    return tmp_path / "was-run"


@pytest.fixture
def trap(tmp_path: Path, marker: Path) -> str:
    """A program that is called like an interpreter."""
    program = tmp_path / "python"
    program.write_text(f"#!/bin/sh\ntouch {marker}\n")
    program.chmod(0o755)
    return str(program)


def inspect() -> HostState:
    """The whole program as a host runs it."""
    text = remote.program(question(wanted(api_url="http://127.0.0.1:9/api")))
    command = [sys.executable, "-I", "-"]
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=True, timeout=120)
    assert len(done.stdout.splitlines()) == 1
    return decode(HostState, done.stdout)


def test_program_that_a_process_names_as_its_interpreter_is_not_run(
    start: Callable[..., int], trap: str, marker: Path
) -> None:
    """Row 1 of the list: a shell that says `python prefect worker start`, whose first word is a program of its own."""
    pid = start("/bin/sh", [trap, "-c", "read line; :", *WORDS])
    found = inspect()
    assert not marker.exists()
    subprocess.run([trap], check=True, timeout=180)
    assert marker.exists(), "the trap would not have shown that it was run"
    assert pid not in [item.pid for item in found.legacy]
    (claim,) = [item for item in found.claims if item.pid == pid]
    assert claim.claim.startswith("it executes /")
    assert claim.claim.endswith("which is no Python")


def test_shell_that_is_called_like_an_interpreter_is_found_out(start: Callable[..., int], tmp_path: Path) -> None:
    """By name a Python, and nothing is installed for it: it is not run to be asked."""
    shell = tmp_path / "python3"
    shutil.copy("/bin/sh", shell)
    pid = start(shell, [str(shell), "-c", "read line; :", *WORDS])
    assert "its arguments are not those of `prefect worker start`" in claim_of(pid).claim


def test_worker_without_prefect_is_none(start: Callable[..., int], tmp_path: Path) -> None:
    script = tmp_path / "prefect"
    script.write_text("input()\n")
    bare = tmp_path / "venv/bin/python3"
    bare.parent.mkdir(parents=True)
    shutil.copy(os.path.realpath(sys.executable), bare)
    home = {"PYTHONHOME": sys.base_prefix, "LD_LIBRARY_PATH": f"{sys.base_prefix}/lib"}
    pid = start(bare, [str(bare), "-S", str(script), "worker", "start"], env=home)
    assert claim_of(pid).claim == f"no Prefect is installed for {bare}"


def test_real_worker_of_others_is_proven(start: Callable[..., int], tmp_path: Path) -> None:
    """A Python with Prefect beside it, by the kernel's word."""
    script = tmp_path / "prefect"
    script.write_text("input()\n")
    pid = start(sys.executable, [sys.executable, str(script), "worker", "start", "--name", "old"])
    (found,) = [item for item in everyone()[0] if item.pid == pid]
    assert (found.name, found.python, found.uid) == ("old", sys.executable, os.getuid())
    assert found.prefect.startswith("3.")
    assert found.uvloop == ()
    assert found.ticks > 0


def test_worker_under_a_name_of_its_own_is_found_all_the_same(start: Callable[..., int], tmp_path: Path) -> None:
    script = tmp_path / "prefect"
    script.write_text("input()\n")
    pid = start(sys.executable, ["nightly", str(script), "worker", "start"], env={"PYTHONHOME": sys.base_prefix})
    assert pid in [item.pid for found in everyone() for item in found]


@pytest.mark.parametrize(
    "name",
    ["\x1b]0;owned\x07\x1b[2Jold", "two\nlines", "carriage\rreturn", "\u202etfel", "caf\udce9", "x" * 100_000],
    ids=["escape", "newline", "return", "bidi", "bytes", "huge"],
)
def test_name_that_would_write_on_the_operators_screen_is_not_shown(start: Callable[..., int], name: str) -> None:
    pid = start("/bin/sh", ["python", "-c", "read line; :", *WORDS, "--name", os.fsencode(name)])
    (claim,) = [item for item in inspect().claims if item.pid == pid]
    assert claim.name == ""


def test_executable_with_a_name_for_the_terminal_is_shown_without_it(start: Callable[..., int], tmp_path: Path) -> None:
    shell = tmp_path / "\x1b[2J\nsh"
    shutil.copy("/bin/sh", shell)
    pid = start(shell, ["python", "-c", "read line; :", *WORDS])
    told = claim_of(pid).claim
    assert "?[2J?sh, which is no Python" in told
    assert told.isprintable()


def test_crowd_of_them_leaves_a_plan_that_can_be_read(start: Callable[..., int]) -> None:
    for _ in range(find.MOST_CLAIMS + 5):
        start("/bin/sh", ["python", "-c", "read line; :", *WORDS])
    assert len(everyone()[1]) == find.MOST_CLAIMS


def test_crowd_of_real_ones_is_not_planned_with(start: Callable[..., int], monkeypatch: pytest.MonkeyPatch) -> None:
    """No host has so many: whoever started them is named, instead of a plan that nobody reads."""
    monkeypatch.setattr(find, "MOST_WORKERS", 1)
    monkeypatch.setattr(find, "worker", lambda *_: legacy(user="nobody"))
    for _ in range(2):
        start("/bin/sh", ["python", "-c", "read line; :", *WORDS])
    with pytest.raises(HostError, match="processes of nobody are Prefect workers, too many to take over: end those"):
        everyone()


def test_unit_is_asked_for_once_however_many_say_that_they_are_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []

    def show(names: list[str]) -> dict[str, dict[str, str]]:
        asked.append(names)
        return {}

    monkeypatch.setattr(find, "show", show)
    monkeypatch.setattr(find, "unit_of", lambda _: "x.service")
    find.shown.cache_clear()
    for pid in range(2, 30):
        find.origin(pid)
    assert asked == [["x.service"]]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--mount", "--pid", "--fork", "--kill-child", "--mount-proc"], "it runs in a container"),
        (["--user"], "it runs in namespaces of its own"),
        (["--mount"], "it runs in namespaces of its own"),
    ],
)
def test_process_apart_from_the_host_is_left_alone(options: list[str], said: str, tmp_path: Path) -> None:
    """Whatever it executes there: nothing of it is looked at from outside."""
    script = tmp_path / "prefect"
    script.write_text("input()\n")
    inner = [sys.executable, str(script), "worker", "start", "--name", "boxed"]
    process = subprocess.Popen(["unshare", *options, "--", *inner], stdin=subprocess.PIPE)
    try:
        found = wait_for(lambda: [item for item in everyone()[1] if item.name == "boxed"], "it is seen", 20)
        assert found[0].claim == said
    finally:
        process.communicate(timeout=180)


@pytest.mark.parametrize(
    "argv",
    [
        ["/srv/venv/bin/python3", "/srv/venv/bin/prefect", "worker", "start", "--pool", "default"],
        ["python", "-m", "prefect", "worker", "start", "--with-healthcheck"],
        ["/usr/bin/python3.12", "-I", "-X", "utf8", "/usr/local/bin/prefect", "--profile", "x", "worker", "start"],
        ["python3", "prefect", "--no-prompt", "worker", "start"],
    ],
)
def test_arguments_of_a_worker(argv: list[str]) -> None:
    assert find.says_so(argv, "/usr/bin/dash")
    assert starts_worker(argv)


@pytest.mark.parametrize(
    "argv",
    [
        [],
        ["python"],
        ["python", "-m"],
        ["/opt/hublab/releases/r/venv/bin/python", "-m", "worker"],
        ["/srv/venv/bin/python3", "/srv/venv/bin/prefect", "worker", "ls"],
        ["/srv/venv/bin/python3", "/srv/venv/bin/prefect", "server", "start"],
        ["/srv/venv/bin/python3", "-m", "prefect.flow_engine"],
        ["grep", "prefect", "worker", "start"],
        ["sh", "-c", "prefect worker start"],
        ["sudo", "prefect", "worker", "start"],
    ],
)
def test_arguments_of_no_worker(argv: list[str]) -> None:
    assert not (find.says_so(argv, "/usr/bin/dash") and starts_worker(argv))


@pytest.mark.parametrize(
    "argv",
    [
        ["python", "-c", "pass", "prefect", "worker", "start"],
        ["python", "/srv/supervise.py", "prefect", "worker", "start"],
        ["python", "-m", "supervise", "prefect", "worker", "start"],
        ["python", "/usr/bin/prefect", "flow", "prefect", "worker", "start"],
    ],
)
def test_program_that_is_told_to_start_a_worker_is_none_itself(argv: list[str]) -> None:
    assert find.says_so(argv, "/usr/bin/dash")
    assert not starts_worker(argv)
