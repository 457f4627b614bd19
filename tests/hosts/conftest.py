"""A real Debian host with a past, a real Prefect server on PostgreSQL, and the deploy as an operator runs it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sandbox import Sandbox, runs
from sandbox.load import Trickle
from sandbox.past import FLOWS
from tests.hosts import book

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox import Machine

ROOT = Path(__file__).resolve().parents[2]
SCRATCH = ROOT / ".hublab"
# File trees that all sandboxes of a test session share: building them takes minutes.
TREES = Path(os.environ.get("HUBLAB_SANDBOX_TREES") or SCRATCH / "trees")
# Each lane of the suites has hosts of its own.
HOSTS = SCRATCH / "hosts" / os.environ.get("HUBLAB_TEST_HOSTS", "tests")
WORKERS = 3


@dataclass
class Result:
    """What a command ended with and all that it printed."""

    status: int
    text: str


@dataclass
class Operator:
    """Somebody at a keyboard: runs the README's commands against one inventory file."""

    env_file: Path
    settings: dict[str, str]
    checkout: Path = ROOT

    def write(self, **overrides: str | None) -> None:
        """Puts the settings into the inventory file, some of them changed or, with None, removed."""
        values = {key: value for key, value in (self.settings | overrides).items() if value is not None}
        self.env_file.write_text("".join(f"{key}={value}\n" for key, value in values.items()))

    def run(self, *command: str, **overrides: str | None) -> Result:
        """Runs one command of the venv with these settings."""
        self.write(**overrides)
        environment = os.environ | {"HUBLAB_ENV_FILE": str(self.env_file), "PYTHONDONTWRITEBYTECODE": "1"}
        program = [str(Path(sys.executable).with_name(command[0])), *command[1:]]
        done = subprocess.run(
            program, cwd=self.checkout, env=environment, capture_output=True, text=True, timeout=900, check=False
        )
        return Result(done.returncode, done.stdout + done.stderr)

    def deploy(self, *options: str, **overrides: str | None) -> Result:
        """`pyinfra -y deploy/inventory.py deploy/workers.py`."""
        return self.run("pyinfra", "-y", *options, "deploy/inventory.py", "deploy/workers.py", **overrides)

    def plan(self, **overrides: str | None) -> Result:
        """`make plan`."""
        return self.run("pyinfra", "--dry", "deploy/inventory.py", "deploy/workers.py", **overrides)

    def at(self, checkout: Path) -> Operator:
        """The same person with another checkout."""
        return replace(self, checkout=checkout)

    def verify(self, *only: str) -> Result:
        """`make verify`, or the named checks of it."""
        chosen = ["-k", " or ".join(only)] if only else []
        return self.run(
            "pytest", "-q", "-p", "no:cacheprovider", "--no-header", "-rf", "--tb=line", *chosen, "tests/infra"
        )


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Sandbox]:
    """One host with its past; left standing between runs with HUBLAB_KEEP_SANDBOX=1, otherwise removed."""
    box = Sandbox.up(hosts=1, past=True, root=HOSTS, trees=TREES, python=True)
    yield box
    if not os.environ.get("HUBLAB_KEEP_SANDBOX"):
        box.down()


@pytest.fixture(scope="session")
def machine(sandbox: Sandbox) -> Machine:
    return sandbox.hosts[0]


@pytest.fixture(scope="session")
def operator(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Operator:
    lines = (line.partition("=") for line in sandbox.env_file.read_text().splitlines())
    settings = {key: value for key, _, value in lines}
    # The flows of before lie on the host; nothing else about the deployments changes.
    settings |= {"HUBLAB_READ_PATHS": str(FLOWS), "HUBLAB_DRAIN_SECONDS": "300", "HUBLAB_WORKERS": str(WORKERS)}
    return Operator(tmp_path_factory.mktemp("operator") / "env", settings)


@pytest.fixture
def deployed(operator: Operator) -> Operator:
    """The host is as wanted; where a test left it otherwise, it is brought back."""
    result = operator.deploy()
    assert result.status == 0, result.text
    return operator


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
    """The same operator, who has deployed three workers, with longer gates."""
    patient = Operator(operator.env_file, operator.settings | {"HUBLAB_GATE_SECONDS": "90"})
    result = patient.deploy()
    assert result.status == 0, result.text
    return patient


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
