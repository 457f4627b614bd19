"""A deploy struck in the middle of each stage: workers serve, no run is lost or doubled, the next deploy converges."""

from __future__ import annotations

import re
from itertools import count
from typing import TYPE_CHECKING

import pytest

from sandbox import runs
from sandbox.operator import Operator
from sandbox.past import FLOWS
from tests.hosts.book import ALL
from tests.hosts.faults import MOMENTS, STRIKES, Struck, converges, serve, told
from tests.hosts.test_4_rollout import spoil
from tests.hosts.test_5_rollback import SECOND_FAILS

if TYPE_CHECKING:
    from pathlib import Path

    from sandbox import Machine, Sandbox
    from sandbox.load import Trickle
    from tests.hosts.book import Book

ESSENTIAL = [("the operator's process is killed", "gate")]
MATRIX = [(strike, moment) for moment in MOMENTS if moment != "activate" for strike in STRIKES]
# Each fault finds the host with other settings than those it deploys.
CONCURRENCY = count(5)


def prepare(moment: str, three: Operator, machine: Machine, checkout: Path, load: Trickle) -> Operator:
    """Who deploys, so that the stage has something to do; for the drain a run is in flight."""
    probe = checkout / "worker/probe_flow.py"
    if moment == "install":
        probe.write_text(f"{probe.read_text()}# another release: {next(CONCURRENCY)}\n")
    elif moment == "roll-back":
        spoil(probe, SECOND_FAILS)
    elif moment == "configure":
        machine.ssh("chmod 0700 /etc/hublab")  # of no use to a worker that runs
    elif moment == "drain":
        with load.sandbox.api() as api:
            nap = runs.register(api, "flows.py:nap", directory=str(FLOWS), queue="probe-hublab-1-1")
            api.patch(f"/deployments/{nap}", json={"tags": ["run-again"]}).raise_for_status()
            load.created.append(runs.start(api, nap, {"seconds": 45.0}))
            runs.await_state(api, load.created[-1], {"RUNNING"})
    return three.at(checkout) if moment in ("install", "roll-back") else three


@pytest.mark.timeout(900)
@pytest.mark.parametrize(("strike", "moment"), MATRIX if ALL else ESSENTIAL)
def test_deploy_that_is_struck_loses_no_run_and_is_gone_on_with(
    strike: str, moment: str, three: Operator, machine: Machine, sandbox: Sandbox, load: Trickle, book: Book,
    broken_checkout: Path,
) -> None:  # fmt: skip
    operator, change = (
        prepare(moment, three, machine, broken_checkout, load),
        {"HUBLAB_CONCURRENCY": f"{next(CONCURRENCY)}"},
    )
    struck = Struck(operator, **change)
    struck.until(*MOMENTS[moment])
    STRIKES[strike](struck, machine)
    result = struck.end()
    # Looking is done again over a new connection; who is cut off before the lock is taken goes on over that one.
    assert result.status != 0 or moment == "end" or (moment == "lock" and "connected again" in result.text), result.text
    serve(machine)
    # The release that the second worker refuses is not the one to converge to.
    following = converges(three if moment == "roll-back" else operator, machine, sandbox, **change)
    outcome = "ended by itself" if strike.startswith("the operator") else f"ended with status {result.status}"
    ended = told(load.finish(), again="power" in strike)
    book.add(f"{strike}: {moment}", f"{outcome}; workers serve", following, ended)


@pytest.mark.timeout(900)
def test_two_operators_at_once(three: Operator, machine: Machine, sandbox: Sandbox, load: Trickle, book: Book) -> None:
    change, heard = {"HUBLAB_CONCURRENCY": str(next(CONCURRENCY))}, FLOWS / "heard"
    with sandbox.api() as api:
        talk = runs.register(api, "flows.py:talk", directory=str(FLOWS), queue="probe-hublab-1-1")
        load.created.append(runs.start(api, talk, {"until": str(heard)}))
        runs.await_state(api, load.created[-1], {"RUNNING"})
    first = Struck(three, **change)
    try:
        first.until(*MOMENTS["drain"])  # and it waits for that run, however long the second takes
        second = Operator(three.env_file.with_name("second"), three.settings).deploy(HUBLAB_CONCURRENCY="99")
    finally:
        machine.ssh(f"touch {heard}")
    assert second.status != 0
    assert re.search(r"locked by \S+@\S+ since \S+Z for deploy of release 3\.", second.text), second.text
    assert "Nothing was changed" in second.text
    result = first.end()
    assert result.status == 0, result.text
    outcome = "the second was told who holds the host, and changed nothing; the first went on"
    following = converges(three, machine, sandbox, **change)
    machine.ssh(f"rm {heard}")
    book.add("two operators at once", outcome, following, told(load.finish()))
