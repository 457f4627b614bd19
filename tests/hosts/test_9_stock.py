"""Stock Debian 12 and 13, with nothing of ours put in beforehand, and a host without any Python: one fleet of them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from prefect.workers.process import ProcessWorker

from sandbox import Sandbox, env_file
from sandbox.operator import Operator
from tests.hosts.conftest import HOSTS, TREES, copy_checkout

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox import Machine

ROOT = HOSTS.with_name(f"{HOSTS.name}-stock")
BROUGHT = r"/opt/hublab/python/3\.1[23]\.\d+-[0-9a-f]{10}/bin/python3\.1[23]"
POOL = "of-the-second"
CREATED = 201
OF_A_DEPLOY = (
    "ls -d /opt/hublab /etc/hublab /run/hublab /etc/systemd/system/*hublab* /etc/systemd/system/prefect-worker@* "
    "2>/dev/null; getent passwd | grep -o '^hublab[^:]*'; getent group | grep -o '^hublab[^:]*'; true"
)


@pytest.fixture(scope="module")
def box() -> Iterator[Sandbox]:
    """Debian 12, and beside it Debian 13."""
    Sandbox.up(hosts=1, root=ROOT, trees=TREES, suite="bookworm")
    yield (box := Sandbox.up(hosts=2, root=ROOT, trees=TREES, suite="trixie"))
    box.down()


@pytest.fixture(scope="module")
def fleet(box: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Operator:
    """Both are deployed to, from what a stock Debian has."""
    for machine, version in zip(box.hosts, ("3.11", "3.13"), strict=True):
        assert machine.ssh("python3 --version").stdout.startswith(f"Python {version}.")
        assert not machine.ssh("ls /usr/local/bin /opt").stdout.split()[2:]
    settings = env_file.read(box.env_file) | {"HUBLAB_WORKERS": "1"}
    assert "HUBLAB_PYTHON" not in settings
    operator = Operator(tmp_path_factory.mktemp("stock") / "env", settings)
    template = ProcessWorker.get_default_base_job_template()
    with box.api() as api:
        assert (
            api.post("/work_pools/", json={"name": POOL, "type": "process", "base_job_template": template}).status_code
            == CREATED
        )
    own = f'[{box.hosts[1].address}]\nworkers = 2\nwork_pool = "{POOL}"\nconcurrency = 2\n'
    operator.env_file.with_name("hosts.toml").write_text(own.replace("[", '["').replace("]", '"]'))
    plan = operator.plan()
    assert plan.status == 0, plan.text
    assert re.search(r"Python 3\.12\.\d+ will be brought to /opt/hublab/python: it has 3\.11\.\d+", plan.text)
    assert machine.ssh("ls /opt").stdout == "", "a plan changes nothing"
    result = operator.deploy()
    assert result.status == 0, result.text
    return operator


def interpreter(machine: Machine) -> str:
    return machine.ssh("readlink -f /opt/hublab/current/venv/bin/python").stdout.strip()


def current(machine: Machine) -> str:
    return machine.ssh("basename $(readlink /opt/hublab/current)").stdout.strip()


def workers(box: Sandbox) -> dict[str, set[str]]:
    """Whom the server knows, by pool."""
    with box.api() as api:
        found = {pool: api.post(f"/work_pools/{pool}/workers/filter", json={}).json() for pool in ("default", POOL)}
    return {pool: {item["name"] for item in items} for pool, items in found.items()}


def test_each_has_a_python_that_fits_and_the_proof_passes(fleet: Operator, box: Sandbox) -> None:
    old, new = box.hosts
    assert re.fullmatch(BROUGHT, interpreter(old))
    assert interpreter(new) == "/usr/bin/python3.13"
    assert not new.ssh("ls /opt/hublab/python 2>/dev/null", check=False).stdout
    assert workers(box) == {"default": {"hublab-1-1"}, POOL: {"hublab-2-1", "hublab-2-2"}}, "as hosts.toml has it"
    proof = fleet.verify()
    assert proof.status == 0, proof.text
    again = fleet.deploy()
    assert again.status == 0, again.text
    assert again.text.count("plan: nothing to do") == 2, again.text


def test_fleet_goes_back_as_one_and_each_host_to_its_own_python(
    fleet: Operator, box: Sandbox, tmp_path_factory: pytest.TempPathFactory
) -> None:
    before = [current(machine) for machine in box.hosts]
    assert len(set(before)) == 2, "two Pythons, two releases"
    assert len({name.rpartition("-")[0] for name in before}) == 1, "of one lock and code"
    checkout = copy_checkout(tmp_path_factory.mktemp("next") / "checkout")
    with (checkout / "flows/__init__.py").open("a") as file:
        file.write("# another release\n")
    result = fleet.at(checkout).deploy()
    assert result.status == 0, result.text
    assert not set(before) & {current(machine) for machine in box.hosts}
    back = fleet.run("pyinfra", "-y", "deploy/inventory.py", "deploy/rollback.py")
    assert back.status == 0, back.text
    assert [current(machine) for machine in box.hosts] == before
    assert re.fullmatch(BROUGHT, interpreter(box.hosts[0]))


def test_host_leaves_with_all_that_was_put_there(
    fleet: Operator, box: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = box.hosts[1]
    refused = fleet.run("pyinfra", "-y", "deploy/inventory.py", "deploy/decommission.py")
    assert refused.status != 0
    assert "--limit: missing" in refused.text
    monkeypatch.setenv("LIMIT", machine.address)
    result = fleet.run("pyinfra", "-y", "deploy/inventory.py", "deploy/decommission.py")
    assert result.status == 0, result.text
    assert machine.ssh(OF_A_DEPLOY).stdout == ""
    assert machine.ssh("ls /var/lib/hublab").stdout.split() == ["deploys.jsonl"]
    assert "left: /var/lib/hublab/deploys.jsonl" in result.text
    assert workers(box) == {"default": {"hublab-1-1"}, POOL: set()}


def test_host_without_any_python_is_deployed_to(fleet: Operator, box: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the one that left: it is as it was before, and now has not even Debian's own."""
    machine = box.hosts[1]
    machine.ssh("mkdir -p /root/away && mv /usr/bin/python3* /root/away")
    monkeypatch.setenv("LIMIT", machine.address)
    plan = fleet.plan()
    assert plan.status == 0, plan.text
    assert "will be brought to /opt/hublab/python: it has none" in plan.text
    result = fleet.deploy()
    assert result.status == 0, result.text
    assert re.fullmatch(BROUGHT, interpreter(machine))
    status = fleet.run("python", "-m", "deploy.fleet", "status")
    assert status.status == 0, status.text
