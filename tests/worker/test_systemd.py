"""What systemd hears, on real datagram sockets."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

import pytest

from sandbox.errors import SandboxError
from tests.worker.world import wait_for
from worker.systemd import Notifier

if TYPE_CHECKING:
    from tests.worker.conftest import StartWorker

# A round of the polling loop may take 1 + 0.5 + 0.5 s here, then it counts as hanging.
HANGING = """
import anyio, sys, time
from pathlib import Path
from worker import lifecycle
lifecycle.REQUEST_LIMIT, lifecycle._SLACK_SECONDS = 1.0, 0.5
poll_once, here = lifecycle.Lifecycle._poll_once, Path.cwd()
async def hang(self):
    await poll_once(self)
    if (here / "hang").exists():
        HOW
lifecycle.Lifecycle._poll_once = hang
from worker.__main__ import main
sys.exit(main())
"""
BLOCKED = "time.sleep(600)"
DEADLOCKED = """with anyio.CancelScope(shield=True):
            await anyio.Event().wait()"""


def test_message_reaches_an_abstract_socket() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(f"\0hublab-test-{os.getpid()}")
        Notifier(f"@hublab-test-{os.getpid()}").send("READY=1", "STATUS=here")
        assert systemd.recv(100) == b"READY=1\nSTATUS=here"


def test_nobody_listening_is_no_error() -> None:
    Notifier("/nowhere/notify").send("READY=1")
    Notifier().send("READY=1")


def test_variables_are_taken_so_that_no_flow_run_inherits_them() -> None:
    environ = {"NOTIFY_SOCKET": "/run/x", "WATCHDOG_USEC": "20000000", "WATCHDOG_PID": str(os.getpid()), "A": "b"}
    assert Notifier.from_environment(environ).watchdog_seconds == 20
    assert environ == {"A": "b"}


def test_watchdog_of_another_process_is_not_fed() -> None:
    environ = {"NOTIFY_SOCKET": "/run/x", "WATCHDOG_USEC": "20000000", "WATCHDOG_PID": "1"}
    assert Notifier.from_environment(environ).watchdog_seconds is None


@pytest.mark.parametrize("how", [BLOCKED, DEADLOCKED], ids=["whole loop", "polling task alone"])
def test_watchdog_is_fed_until_the_polling_loop_hangs(start: StartWorker, how: str) -> None:
    worker = start(launch=HANGING.replace("HOW", how), WATCHDOG_USEC="900000").ready()
    worker.systemd.wait("WATCHDOG=1")
    (worker.folder / "hang").touch()
    # Five intervals of systemd's watchdog without a beat; a loop that goes round sends fifteen in that time.
    wait_for(lambda: not _fed_within(worker.systemd.messages, 5 * 0.9), "the beats stop")
    assert worker.process.poll() is None


def _fed_within(messages: list[str], seconds: float) -> bool:
    heard = len(messages)
    try:
        wait_for(lambda: any("WATCHDOG=1" in message for message in messages[heard:]), "a beat", limit=seconds)
    except SandboxError:
        return False
    return True
