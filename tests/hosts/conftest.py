"""A real Debian host, with a past where a test asks for it, a real Prefect server on PostgreSQL, and an operator."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sandbox import Sandbox, env_file, past, runs
from sandbox.layout import shared_trees
from sandbox.load import Trickle
from sandbox.operator import Operator
from sandbox.past import FLOWS
from tests.hosts import book, released

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox import Machine

ROOT = Path(__file__).resolve().parents[2]
SCRATCH = ROOT / ".hublab"
# File trees that all sandboxes of a test session share: building them takes minutes.
TREES = shared_trees()
# Each lane of the suites has hosts of its own.
HOSTS = SCRATCH / "hosts" / os.environ.get("HUBLAB_TEST_HOSTS", "tests")
WORKERS = int(os.environ.get("HUBLAB_TEST_WORKERS", "3"))  # of a host; two at least


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Sandbox]:
    """One host with flows on it; left standing between runs with HUBLAB_KEEP_SANDBOX=1, otherwise removed."""
    box = Sandbox.up(hosts=1, root=HOSTS, trees=TREES, python=True, below=released.tree())
    past.put_flows(box.hosts[0])
    yield box
    if not os.environ.get("HUBLAB_KEEP_SANDBOX"):
        box.down()


@pytest.fixture(scope="module")
def its_past(sandbox: Sandbox) -> None:
    """Whatever the host was until now, it has the workers of before: they take a minute to start."""
    past.give(sandbox, sandbox.hosts[:1])


@pytest.fixture(scope="session")
def machine(sandbox: Sandbox) -> Machine:
    return sandbox.hosts[0]


@pytest.fixture(scope="session")
def operator(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Operator:
    settings = env_file.read(sandbox.env_file)
    # The flows of before lie on the host; nothing else about the deployments changes.
    settings |= {"HUBLAB_READ_PATHS": str(FLOWS), "HUBLAB_DRAIN_SECONDS": "300", "HUBLAB_WORKERS": str(WORKERS)}
    return Operator(tmp_path_factory.mktemp("operator") / "env", settings)


def as_wanted(operator: Operator) -> Operator:
    """The host is as wanted; where a test left it otherwise, it is brought back."""
    if operator.run("python", "-m", "deploy.fleet", "status").status:
        result = operator.deploy()
        assert result.status == 0, result.text
    return operator


@pytest.fixture
def deployed(operator: Operator) -> Operator:
    """Before each test."""
    return as_wanted(operator)


def webhooks(machine: Machine) -> dict[str, str]:
    """What `.env` says when this host serves the webhooks."""
    return {
        "HUBLAB_WEBHOOKS": f"{machine.address}:8080",
        "HUBLAB_WEBHOOKS_BIND": machine.address,
        "WEBHOOK_SECRET": "webhook-sentinel-77e1",
        "RESEND_WEBHOOK_SECRET": "whsec_c2VudGluZWwtNzdlMQ==",
        "UNSUBSCRIBE_SECRET": "unsubscribe-sentinel-77e1",
    }


@pytest.fixture
def broken_checkout(tmp_path: Path) -> Path:
    """A copy of the project: what a bad release is made of."""
    return copy_checkout(tmp_path / "checkout")


def copy_checkout(copy: Path) -> Path:
    """Copies the project, and lets the copy use the wheels that were downloaded for this one."""
    ignore = shutil.ignore_patterns(".git", ".venv", ".sandbox", ".hublab", "__pycache__", ".*_cache")
    shutil.copytree(ROOT, copy, ignore=ignore)
    (copy / ".hublab").mkdir()
    (copy / ".hublab/wheels").symlink_to(SCRATCH / "wheels")
    return copy


@pytest.fixture(scope="session", name="book")
def book_of_faults() -> book.Book:
    """The table of faults; the docs get it when `make faults` asks for every fault."""
    return book.Book(ROOT / "docs/faults.md", SCRATCH / "faults.json", book.commit(ROOT))


@pytest.fixture(scope="module")
def three(operator: Operator) -> Operator:
    """The same operator, with longer gates."""
    patient = Operator(operator.env_file, operator.settings | {"HUBLAB_GATE_SECONDS": "90"})
    return as_wanted(patient)


@pytest.fixture
def load(sandbox: Sandbox) -> Iterator[Trickle]:
    """Flow runs that go on arriving, whatever happens."""
    trickle = Trickle(sandbox)
    trickle.start()
    yield trickle
    trickle.stopped.set()


def first_run(sandbox: Sandbox, worker: str, *, timeout: float = 120) -> runs.RunState:
    """The flow of before, on the queue that one worker alone polls."""
    with sandbox.api() as api:
        deployment = runs.register(api, "flows.py:greet", directory=str(FLOWS), queue=f"probe-{worker}")
        return runs.await_state(api, runs.start(api, deployment), timeout=timeout)


def main_pids(machine: Machine) -> dict[int, str]:
    """The worker processes as systemd knows them."""
    return {
        number: machine.ssh(f"systemctl show --property=MainPID --value prefect-worker@{number}").stdout.strip()
        for number in range(1, WORKERS + 1)
    }
