"""A deploy struck in the middle of each stage: workers serve, no run is lost or doubled, the next deploy converges."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from sandbox import runs
from tests.hosts.conftest import ROOT, Operator
from tests.hosts.faults import ALL, MOMENTS, STRIKES, Book, Row, Struck
from tests.hosts.load import Trickle
from tests.hosts.test_4_rollout import spoil
from tests.hosts.test_5_rollback import left_behind

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sandbox import Machine, Sandbox

TABLE = ROOT / "docs/faults.md"
ESSENTIAL = [("the operator's process is killed", "gate")]
MATRIX = [(strike, moment) for strike in STRIKES for moment in MOMENTS if moment != "activate"]
NAMES = {"hublab-1-1", "hublab-1-2"}
# Each fault finds the host with other settings than those it deploys.
CONCURRENCY = iter(range(5, 100))


@pytest.fixture(scope="module")
def book() -> Iterator[Book]:
    """The table; the docs get it when `make faults` asks for every fault."""
    book = Book()
    if ALL:
        book.read(TABLE)
    yield book
    if ALL:
        book.write(TABLE)


@pytest.fixture(scope="module")
def two(operator: Operator) -> Operator:
    """The same operator with two workers on the host."""
    pair = Operator(operator.env_file, operator.settings | {"HUBLAB_WORKERS": "2", "HUBLAB_GATE_SECONDS": "90"})
    result = pair.deploy()
    assert result.status == 0, result.text
    return pair


@pytest.fixture
def load(sandbox: Sandbox) -> Iterator[Trickle]:
    """Flow runs that go on arriving, whatever happens."""
    trickle = Trickle(sandbox)
    trickle.start()
    yield trickle
    trickle.stopped.set()


def converges(operator: Operator, machine: Machine, sandbox: Sandbox, **overrides: str | None) -> str:
    """The next deploy ends well, leaves nothing of the struck one behind, and then there is nothing to do."""
    result = operator.deploy(**overrides)
    assert result.status == 0, result.text
    assert left_behind(machine) == ""
    again = operator.plan(**overrides)
    assert "plan: nothing to do" in again.text, again.text
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


@pytest.mark.timeout(900)
@pytest.mark.parametrize(("strike", "moment"), MATRIX if ALL else ESSENTIAL)
def test_struck(
    strike: str, moment: str, two: Operator, machine: Machine, sandbox: Sandbox, load: Trickle, book: Book,
    broken_checkout: Path,
) -> None:  # fmt: skip
    operator, change = two, {"HUBLAB_CONCURRENCY": str(next(CONCURRENCY))}
    if moment == "install":
        with (broken_checkout / "worker/probe_flow.py").open("a") as module:
            module.write(f"# another release: {change}\n")
        operator = two.at(broken_checkout)
    struck = Struck(operator, **change)
    struck.until(MOMENTS[moment])
    STRIKES[strike](struck, machine)
    power = "power" in strike
    result = struck.end()
    assert result.status != 0 or moment == "end"
    with sandbox.api() as api:
        runs.await_online(api, NAMES, timeout=180)
    following = converges(operator, machine, sandbox, **change)
    outcome = "ended by itself; " if strike.startswith("the operator") else f"ended with status {result.status}; "
    book.add(Row(f"{strike}: {moment}", f"{outcome}workers serve", following, told(load.finish(), again=power)))


def test_two_operators_at_once(two: Operator, machine: Machine, sandbox: Sandbox, load: Trickle, book: Book) -> None:
    change = {"HUBLAB_CONCURRENCY": str(next(CONCURRENCY))}
    first = Struck(two, **change)
    first.until(MOMENTS["start"])
    second = Operator(two.env_file.with_name("second"), two.settings).deploy(HUBLAB_CONCURRENCY="99")
    assert second.status != 0
    assert re.search(r"locked by \S+@\S+ since \S+Z for deploy of release 3\.", second.text), second.text
    assert "Nothing was changed" in second.text
    result = first.end()
    assert result.status == 0, result.text
    outcome = "the second was told who holds the host, and changed nothing; the first went on"
    following = converges(two, machine, sandbox, **change)
    book.add(Row("two operators at once", outcome, following, told(load.finish())))


HANG = """
import asyncio

async def _hang(*_: object) -> None:
    await asyncio.sleep(3600)

asyncio.create_subprocess_exec = _hang
"""
GATE_FAULTS = {
    "crash at start": ("worker/__main__.py", 'raise SystemExit("broken on purpose")', "broken on purpose"),
    "never READY": ("worker/__main__.py", "import time\ntime.sleep(3600)", "did not start"),
    "every run crashes": ("worker/probe_flow.py", 'raise RuntimeError("every run crashes")', "FAILED"),
    "the probe hangs": ("worker/probe_flow.py", HANG, "is still RUNNING"),
}


@pytest.mark.faults
@pytest.mark.timeout(900)
@pytest.mark.parametrize("fault", GATE_FAULTS)
def test_release_that_fails_its_gate(
    fault: str, two: Operator, machine: Machine, sandbox: Sandbox, load: Trickle, book: Book, broken_checkout: Path
) -> None:
    module, statement, said = GATE_FAULTS[fault]
    release = machine.ssh("readlink /opt/hublab/current").stdout
    spoil(broken_checkout / module, statement)
    result = two.at(broken_checkout).deploy(HUBLAB_GATE_SECONDS="40")
    assert result.status != 0
    assert said in result.text, result.text
    assert "failed its gate; rolled back" in result.text, result.text
    assert machine.ssh("readlink /opt/hublab/current").stdout == release
    assert left_behind(machine) == ""
    following = converges(two, machine, sandbox)
    book.add(Row(f"gate: {fault}", "rolled back, status 1", following, told(load.finish())))


@pytest.mark.faults
def test_unit_that_does_not_verify(
    two: Operator, machine: Machine, sandbox: Sandbox, load: Trickle, book: Book, broken_checkout: Path
) -> None:
    pids = machine.ssh("systemctl show -p MainPID --value prefect-worker@1 prefect-worker@2").stdout
    template = broken_checkout / "deploy/service/prefect-worker.service.j2"
    template.write_text(template.read_text().replace("Type=notify", "Type=notifyy"))
    result = two.at(broken_checkout).deploy()
    assert result.status != 0
    assert "does not verify" in result.text, result.text
    assert machine.ssh("systemctl show -p MainPID --value prefect-worker@1 prefect-worker@2").stdout == pids
    following = converges(two, machine, sandbox)
    book.add(Row("gate: bad unit", "refused by systemd, no worker touched", following, told(load.finish())))


@pytest.mark.faults
def test_credential_refused(two: Operator, machine: Machine, sandbox: Sandbox, load: Trickle, book: Book) -> None:
    result = two.deploy(PREFECT_API_AUTH_STRING="hublab:wrong")
    assert result.status != 0
    assert "refuses it (401)" in result.text
    following = converges(two, machine, sandbox)
    book.add(Row("credential refused", "nothing was changed, status 1", following, told(load.finish())))


@pytest.mark.timeout(900)
@pytest.mark.faults
def test_server_away_in_the_midst_of_a_gate(two: Operator, machine: Machine, sandbox: Sandbox, book: Book) -> None:
    load = Trickle(sandbox)
    load.start()
    change = {"HUBLAB_CONCURRENCY": str(next(CONCURRENCY)), "HUBLAB_GATE_SECONDS": "20"}
    struck = Struck(two, **change)
    struck.until(MOMENTS["gate"])
    load.stopped.set()
    load.join(60)
    sandbox.server.ssh("systemctl stop prefect-server")
    struck.until(r"hublab-1-1: FAILED")
    sandbox.server.ssh("systemctl start prefect-server", timeout=180)
    result = struck.end()
    assert result.status != 0
    assert "rolled back" in result.text, result.text
    change["HUBLAB_GATE_SECONDS"] = "90"
    following = converges(two, machine, sandbox, **change)
    book.add(Row("Prefect's server away: gate", "rolled back, status 1", following, told(load.finish())))
