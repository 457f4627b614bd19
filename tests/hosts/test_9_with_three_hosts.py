"""Three hosts, and a fault on the second at each stage: the deploy ends, its table says what is true of each host, no
lock outlives it, and the other two are as the rollout's rules say."""

from __future__ import annotations

import re
import time
from itertools import count
from typing import TYPE_CHECKING

import pytest

from sandbox import Sandbox
from sandbox.operator import Operator
from tests.hosts.book import ALL
from tests.hosts.conftest import HOSTS, TREES
from tests.hosts.faults import Struck, cut_ssh
from tests.hosts.other_server import with_any_credential
from tests.hosts.test_4_rollout import spoil
from tests.hosts.test_5_rollback import left_behind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sandbox import Machine
    from sandbox.operator import Result
    from tests.hosts.book import Book

VICTIM = 1  # the second: a host before it has been moved, and one after it has not
DONE = "deployed"
# What the deploy says at a moment, and for how many times.
STAGES = {
    "lock": (r"Starting operation: lock", 1),
    "install": (r"Starting operation: install", 1),
    "configure": (r"Starting operation: configure", 1),
    "credential": (r"hublab-1-1: ONLINE", 1),
    "start": (r"hublab-2-1: starting", 1),
    "gate": (r"hublab-2-1: ready after", 1),
    "another host's gate": (r"hublab-3-1: ready after", 1),
    "end": (r"hublab-3-1: ONLINE", 1),
    "roll-back": (r"hublab-2-1: starting", 2),
}
STRIKES: dict[str, Callable[[Struck, Machine], None]] = {
    "SSH is cut": lambda _, machine: cut_ssh(machine),
    "the power is cut": lambda _, machine: machine.kill(),
    "the operator's process is killed": lambda struck, _: struck.kill(),
    "the operator is suspended": lambda struck, _: struck.suspend(),
}
ESSENTIAL = [("the power is cut", "end"), ("SSH is cut", "gate")]
# Who sleeps before the lock is taken takes it when awake, and plans anew: that is a deploy like any other.
NO_FAULT = [("the operator is suspended", "lock")]
EVERY = [(strike, stage) for stage in STAGES for strike in STRIKES if (strike, stage) not in NO_FAULT]
MATRIX = EVERY if ALL else ESSENTIAL
CONCURRENCY = count(20)
THIRD_FAILS = """
import os
if os.environ.get("HUBLAB_WORKER_NAME") == "hublab-3-1":
    raise RuntimeError("not here")
"""


@pytest.fixture(scope="module")
def machines(sandbox: Sandbox) -> Iterator[list[Machine]]:
    """The host of before and two more in the same sandbox; those two are off when the module ends."""
    Sandbox.up(hosts=3, root=HOSTS, trees=TREES, python=True)
    three = sandbox.hosts[:3]
    yield three
    for machine in three[1:]:
        machine.kill()


@pytest.fixture(scope="module")
def fleet(operator: Operator, machines: list[Machine]) -> Operator:
    """The same operator with three hosts of one worker each."""
    hosts = ",".join(f"root@{machine.address}" for machine in machines)
    settings = {"HUBLAB_HOSTS": hosts, "HUBLAB_WORKERS": "1", "HUBLAB_GATE_SECONDS": "90", "HUBLAB_DRAIN_SECONDS": "60"}
    three = Operator(operator.env_file, {**operator.settings, **settings})
    three.settings.pop("HUBLAB_READ_PATHS", None)
    result = three.deploy()
    assert result.status == 0, result.text
    return three


def stands(machine: Machine) -> str:
    """What a host is: its unit, its credential, its release of record and the worker's process."""
    files = "sha256sum /etc/systemd/system/prefect-worker@* /etc/hublab/profiles.toml; readlink /opt/hublab/current"
    return machine.ssh(files).stdout


def result_of(machine: Machine, table: str) -> str:
    """The last cell of a host's row in the table that the deploy ends with."""
    rows = [line for line in table.splitlines() if f"({machine.address})" in line and "  " in line]
    assert rows, table
    return re.split(r"\s{2,}", rows[-1])[-1]


def other_deploy(fleet: Operator, concurrency: int) -> Result:
    """Somebody else's, over all three, while the first one sleeps."""
    return Operator(fleet.env_file.with_name("another"), fleet.settings).deploy(HUBLAB_CONCURRENCY=str(concurrency))


def locks(machines: list[Machine]) -> list[str]:
    return [machine.ssh("cat /run/hublab/lock", check=False).stdout for machine in machines]


@pytest.mark.timeout(1200)
@pytest.mark.parametrize(("strike", "stage"), MATRIX)
def test_fault_on_one_of_three_hosts_loses_no_run(
    strike: str, stage: str, fleet: Operator, machines: list[Machine], sandbox: Sandbox, book: Book,
    broken_checkout: Path,
) -> None:  # fmt: skip
    for machine in machines:
        if not machine.running:  # a fault before this one, that was not survived, left it so
            machine.boot()
    operator, concurrency = fleet, next(CONCURRENCY)
    credential = with_any_credential(sandbox, f"sentinel-{concurrency}")
    change = {"HUBLAB_CONCURRENCY": str(concurrency), **credential}
    if stage == "install":
        probe = broken_checkout / "worker/probe_flow.py"
        probe.write_text(f"{probe.read_text()}# another release: {concurrency}\n")
        operator = fleet.at(broken_checkout)
    elif stage == "configure":
        machines[VICTIM].ssh("chmod 0700 /etc/hublab")
    elif stage == "roll-back":
        spoil(broken_checkout / "worker/probe_flow.py", THIRD_FAILS)
        operator = fleet.at(broken_checkout)
    before = [stands(machine) for machine in machines]
    struck = Struck(operator, **change)
    struck.until(*STAGES[stage], timeout=600)
    STRIKES[strike](struck, machines[VICTIM])
    if strike == "the operator is suspended":
        other = other_deploy(fleet, 19)
        assert other.status == 0, other.text
        assert "its owner is gone; taken over" in other.text
        before = [stands(machine) for machine in machines]
        struck.resume()
    result = struck.end(timeout=600)
    outcome = "what the hosts had begun, they ended"
    if strike != "the operator's process is killed":
        reached = [machine for machine in machines if machine.running]
        assert locks(reached) == [""] * len(reached), result.text
        said = [result_of(machine, result.text) for machine in machines]
        is_true(said, machines, before, result)
        outcome = "; ".join(f"host {number}: {words}" for number, words in enumerate(said, 1))
    if strike == "the operator is suspended":
        assert [stands(machine) for machine in machines] == before, "who had lost the lock wrote something"
        assert "the lock is no longer ours" in result.text
    machines[VICTIM].boot()
    following = converges(fleet if stage == "roll-back" else operator, machines, change)
    settle(fleet, machines)
    book.add(f"three hosts, on the second {strike}: {stage}", outcome, following, "none asked for")


def is_true(said: list[str], machines: list[Machine], before: list[str], result: Result) -> None:
    """Asserts that the table is true of each host that can be asked, and that the other two went the same way."""
    assert (result.status == 0) == (said == [DONE] * 3), result.text
    others = [said[number] for number in range(3) if number != VICTIM]
    assert len({words == DONE for words in others}) == 1, said
    for machine, words, stood in zip(machines, said, before, strict=True):
        if not machine.running:
            assert "FAILED" in words, said
        elif words == DONE:
            assert stands(machine) != stood, said
        elif "NOT all" not in words and (machine is not machines[VICTIM] or others[0] != DONE):
            assert stands(machine) == stood, said


def converges(operator: Operator, machines: list[Machine], change: dict[str, str]) -> str:
    """The next deploy ends well on all three, and leaves nothing of the struck one."""
    result = operator.deploy(**change)
    assert result.status == 0, result.text
    assert [left_behind(machine) for machine in machines] == [""] * len(machines)
    status = operator.run("python", "-m", "deploy.fleet", "status", **change).text
    assert "drift: " not in status, status
    taken = "took over the lock, " if "its owner is gone; taken over" in result.text else ""
    return f"{taken}{len(machines)} of {len(machines)} hosts as planned"


def settle(fleet: Operator, machines: list[Machine]) -> None:
    """As it was, for the next fault; with workers that the server knows to be alive."""
    deadline = time.monotonic() + 180
    while (result := fleet.deploy()).status != 0:
        assert time.monotonic() < deadline, result.text
    assert locks(machines) == ["", "", ""]
