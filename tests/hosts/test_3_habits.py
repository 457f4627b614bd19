"""Workers that people start in every other way: each is retired after its runs, and nothing else is touched."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sandbox import past, runs
from sandbox.past import FLOWS
from tests.hosts import habits
from tests.hosts.conftest import WORKERS, as_wanted
from tests.hosts.test_4_rollout import spoil

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sandbox import Machine, Sandbox
    from sandbox.operator import Operator

# Units that do more than to start one worker, and those of the system that must stay whatever happens.
UNTOUCHED = ("cron.service", "ssh.service", "user@1000.service", "systemd-logind.service")


@pytest.fixture(scope="module")
def habitual(operator: Operator, sandbox: Sandbox, machine: Machine) -> Iterator[Operator]:
    past.equip(machine)
    as_wanted(operator)
    habits.clear_ours(machine)
    habits.give(machine, sandbox)
    yield operator
    habits.take_away(machine)
    assert operator.deploy().status == 0


def nap(sandbox: Sandbox, queue: str, seconds: float) -> str:
    with sandbox.api() as api:
        deployment = runs.register(api, "flows.py:nap", directory=str(FLOWS), queue=queue)
        run = runs.start(api, deployment, {"seconds": seconds})
        runs.await_state(api, run, {"RUNNING"})
    return run


def test_the_plan_says_who_starts_what_again(habitual: Operator) -> None:
    result = habitual.plan()
    assert result.status == 0, result.text
    for words in (
        "legacy worker own-1 (pid",
        "legacy unit prefect-worker@1.service makes room for the deploy's own of that name, and comes back",
        "legacy unit prefect-worker@4.service will be disabled and masked",
        "legacy unit shell.service will be disabled and masked",
        "unit wrapped.service through /usr/local/bin/start-worker.sh",
        "systemctl disable wrapped.service",
        "started by cron.service, user root",
        "/var/spool/cron/crontabs/operator of user operator, line 2, may start a worker again",
        "unit prefect-worker@7.service of the user's own systemd, user operator",
        "systemctl --user disable prefect-worker@7.service, as operator",
    ):
        assert words in result.text, words
    assert "cron.service will be" not in result.text
    assert "wrapped.service will be" not in result.text


def test_failed_gate_brings_back_the_one_that_made_room(
    habitual: Operator, sandbox: Sandbox, machine: Machine, broken_checkout: Path
) -> None:
    spoil(broken_checkout / "worker/__main__.py", 'raise SystemExit("this release is broken on purpose")')
    napping = nap(sandbox, "own-1", 20)
    result = habitual.at(broken_checkout).deploy()
    assert result.status != 0
    assert "prefect-worker@1.service serves again as it did before this deploy" in result.text
    with sandbox.api() as api:
        assert runs.state(api, napping).type == "COMPLETED"
        runs.await_online(api, habits.NAMES, timeout=200)
    found = habits.workers(machine)
    assert set(found) == set(habits.NAMES)
    assert not [state for state in found.values() if state.startswith("T")]
    assert "prefect worker start" in habits.told(machine, ["prefect-worker@1"], "ExecStart")["prefect-worker@1"]
    assert nap(sandbox, "own-1", 1)


def test_deploy_retires_them_all_after_their_runs(habitual: Operator, sandbox: Sandbox, machine: Machine) -> None:
    before = habits.told(machine, UNTOUCHED, "MainPID")
    napping = [nap(sandbox, queue, 45) for queue in ("own-1", "wrapped", "of-user", "by-cron")]
    result = habitual.deploy()
    assert result.status == 0, result.text
    with sandbox.api() as api:
        assert [runs.state(api, run).type for run in napping] == ["COMPLETED"] * len(napping)
    assert habits.workers(machine) == {}
    assert habits.told(machine, UNTOUCHED, "MainPID") == before
    assert set(habits.told(machine, UNTOUCHED, "ActiveState").values()) == {"active"}
    assert "masked" not in habits.told(machine, UNTOUCHED, "UnitFileState").values()
    masked = ("prefect-worker@4.service", "shell.service")
    assert set(habits.told(machine, masked, "UnitFileState").values()) == {"masked"}
    assert habits.told(machine, ["wrapped.service"], "UnitFileState") == {"wrapped.service": "enabled"}


def test_their_names_are_the_deploys_now(habitual: Operator, machine: Machine) -> None:
    names = [f"prefect-worker@{number}" for number in range(1, WORKERS + 1)]
    assert all("-m worker" in line for line in habits.told(machine, names, "ExecStart").values())
    added = f"prefect-worker@{WORKERS + 1}"
    more = habitual.deploy(HUBLAB_WORKERS=str(WORKERS + 1))
    assert more.status == 0, more.text
    assert "-m worker" in habits.told(machine, [added], "ExecStart")[added]
    fewer = habitual.deploy()
    assert fewer.status == 0, fewer.text
    assert habits.workers(machine) == {}
