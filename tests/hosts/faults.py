"""Faults on purpose: a deploy that is struck at a chosen moment, and the outcome."""

from __future__ import annotations

import re
import signal
import threading
from typing import TYPE_CHECKING

from sandbox import runs
from sandbox.operator import DEPLOY, Result
from sandbox.waiting import wait_for
from tests.hosts.conftest import WORKERS
from tests.hosts.test_5_rollback import left_behind

if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox import Machine, Sandbox
    from sandbox.operator import Operator

NAMES = {f"hublab-1-{number}" for number in range(1, WORKERS + 1)}
UNITS = " ".join(f"prefect-worker@{number}" for number in range(1, WORKERS + 1))
# What the deploy says at a moment, and for how many times.
MOMENTS = {
    "activate": (r"Starting operation: activate", 1),
    "lock": (r"Starting operation: lock", 1),
    "install": (r"Starting operation: install", 1),
    "configure": (r"Starting operation: configure", 1),
    "drain": (r"hublab-1-1: draining, 1 run in flight", 1),
    "start": (r"hublab-1-1: starting", 1),
    "gate": (r"hublab-1-1: ready after", 1),
    "second worker": (r"hublab-1-2: (draining|starting)", 1),
    "end": (rf"hublab-1-{WORKERS}: ONLINE", 1),
    # The first worker had started on the release that the second refuses, and starts on its former one again.
    "roll-back": (r"hublab-1-1: starting", 2),
}


class Struck:
    """A deploy that runs while something happens to it."""

    def __init__(self, operator: Operator, **overrides: str | None) -> None:
        self.process = operator.begin(*DEPLOY, **overrides)
        self.lines: list[str] = []
        self._changed = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            with self._changed:
                self.lines.append(line)
                self._changed.notify_all()

    def until(self, pattern: str, times: int = 1, *, timeout: float = 240) -> None:
        """Returns as soon as so many lines of the deploy's say so."""
        with self._changed:
            seen = self._changed.wait_for(
                lambda: sum(bool(re.search(pattern, line)) for line in self.lines) >= times, timeout
            )
        assert seen, f"{pattern} was not said:\n{''.join(self.lines)}"

    def end(self, *, timeout: float = 600) -> Result:
        """What it ended with."""
        status = self.process.wait(timeout)
        self._reader.join(30)
        return Result(status, "".join(self.lines))

    def kill(self) -> None:
        """The operator's process is gone from one moment to the next."""
        self.process.kill()
        self.end()

    def suspend(self) -> None:
        """The operator's laptop sleeps: nothing is sent any more, and nothing is closed."""
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """It is awake again, and goes on where it was."""
        self.process.send_signal(signal.SIGCONT)


def serve(machine: Machine, *, timeout: float = 180) -> None:
    """Returns when all workers poll, by their own words: the server takes a dead one for ONLINE for a while."""

    def said() -> str:
        return machine.ssh(f"systemctl show -p StatusText --value {UNITS}", check=False).stdout

    wait_for(lambda: said().count("polling") == len(NAMES), lambda: f"all of them poll: {said()}", timeout, every=1)


def converges(operator: Operator, machine: Machine, sandbox: Sandbox, **overrides: str | None) -> str:
    """The next deploy ends well, leaves nothing of the struck one behind, and then there is nothing to do."""
    result = operator.deploy(**overrides)
    assert result.status == 0, result.text
    assert left_behind(machine) == ""
    serve(machine)
    status = operator.run("python", "-m", "deploy.fleet", "status", **overrides).text
    assert "polling default" in status, status
    assert "drift: " not in status, status
    with sandbox.api() as api:
        runs.await_online(api, NAMES, timeout=90)
    taken = "took over the lock, " if "its owner is gone; taken over" in result.text else ""
    gates = re.findall(r"(\d of \d) COMPLETED", result.text)
    return f"{taken}{gates[-1]} gates passed" if gates else f"{taken}no worker had to restart"


def told(ended: list[tuple[str, int]], *, again: bool = False) -> str:
    """Asserts that each run completed: once, or where the power was cut at most one time more."""
    assert len(ended) > 1
    assert {state for state, _ in ended} == {"COMPLETED"}, ended
    attempts = [count for _, count in ended]
    assert max(attempts) <= (2 if again else 1), ended
    repeated = sum(1 for count in attempts if count > 1)
    return f"{len(ended)} of {len(ended)} completed" + (f", {repeated} of them a second time" if repeated else "")


def cut_ssh(machine: Machine) -> None:
    """Every SSH session of the host ends, this one's own too."""
    machine.ssh("pkill -KILL -f '^sshd: .*@notty'", check=False)


def cut_power(machine: Machine) -> None:
    """Every process of the host ends at once; then it is switched on again."""
    machine.kill()
    machine.boot()


STRIKES: dict[str, Callable[[Struck, Machine], None]] = {
    "the operator's process is killed": lambda struck, _: struck.kill(),
    "SSH is cut": lambda _, machine: cut_ssh(machine),
    "the power is cut": lambda _, machine: cut_power(machine),
}
