"""Whatever says that it is a worker: root neither runs it nor believes it, before and during each command."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sandbox import runs
from sandbox.waiting import wait_for
from tests.hosts import spoofs
from tests.hosts.conftest import as_wanted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sandbox import Machine, Sandbox
    from sandbox.operator import Operator, Result

NAMES = {"spoof?[2J", "spoof-venv", "spoof-container", "spoof-flow"}


@pytest.fixture(scope="module")
def spoofed(operator: Operator, sandbox: Sandbox, machine: Machine) -> Iterator[Operator]:
    """A deployed host on which four processes lie about what they are."""
    as_wanted(operator)
    machine.ssh(f"install -d -m 1777 {spoofs.MARKS}")
    spoofs.of_nobody(machine)
    spoofs.of_a_venv(machine)
    spoofs.of_a_container(machine)
    run = spoofs.of_a_flow(machine, sandbox, f"probe-{machine.name}-1")
    wait_for(
        lambda: len(spoofs.states(machine)) >= len(NAMES),
        lambda: f"all of them: {spoofs.states(machine)}",
        60,
        every=0.5,
    )
    yield operator
    with sandbox.api() as api:
        runs.force(api, run, "CANCELLED")
    # The first process of a container takes no notice of a gentler signal.
    machine.ssh(
        "pkill -KILL -f -- '[-]-name spoof'; rm -rf /var/tmp/spoofs* /var/tmp/nobody /var/tmp/container", check=False
    )


COMMANDS: dict[str, Callable[[Operator], Result]] = {
    "plan": lambda operator: operator.plan(),
    "status": lambda operator: operator.run("python", "-m", "deploy.fleet", "status"),
    "verify": lambda operator: operator.verify(),
    "deploy": lambda operator: operator.deploy(),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_nothing_of_it_runs(spoofed: Operator, machine: Machine, command: str) -> None:
    result = COMMANDS[command](spoofed)
    assert spoofs.marks(machine) == []
    assert "\x1b[2J" not in result.text
    if command != "verify":
        assert "says that it is a worker, and is not: it executes /usr/bin/dash, which is no Python" in result.text
        assert "worker spoof-container (pid" in result.text
        assert "legacy worker spoof-venv (pid" in result.text


def test_what_only_says_so_is_neither_stopped_nor_ended(spoofed: Operator, machine: Machine) -> None:
    """The one that passes for a worker was retired, as the plan said; and its environment's owner lost uvloop alone."""
    left = spoofs.states(machine)
    assert len(left) == len(NAMES) - 1, left
    assert "spoof-venv" not in left
    assert not [state for state in left.values() if state.startswith("T")]
    assert "uvloop" not in machine.ssh(f"ls {spoofs.MARKS}.venv/lib/python3*/site-packages").stdout


def test_each_trap_would_have_told(spoofed: Operator, machine: Machine) -> None:
    """So that the silence above means something: root runs them now, by hand."""
    for path in ("/var/tmp/nobody/python", "/var/tmp/container/python", f"{spoofs.MARKS}.venv/bin/python"):
        machine.ssh(f"{path} -I -c pass")
    machine.ssh("$(find /var/lib/hublab -path '*/tmp/python' | head -n 1) -I -c pass")
    assert set(spoofs.marks(machine)) == {f"{who}-run-by-0" for who in ("nobody", "container", "venv", "flow")}
