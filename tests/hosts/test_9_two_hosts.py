"""Two hosts: a first deploy that leaves every way in alone; a failure or a power cut on the second takes back the
first."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from sandbox import Sandbox
from sandbox.operator import Operator
from sandbox.past import FLOWS
from tests.hosts.conftest import HOSTS, TREES
from tests.hosts.faults import Struck
from tests.hosts.test_4_rollout import spoil
from tests.hosts.test_5_rollback import left_behind
from tests.hosts.test_9_with_three_hosts import locks, result_of, stands

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sandbox import Machine

# All that a first deploy may change outside /opt/hublab and /var/lib/hublab.
ALLOWED = re.compile(
    r"/opt|/etc(/systemd(/system(/multi-user\.target\.wants)?)?)?"
    # Root's own scratch: uv notes which interpreters it has met, Prefect makes its folder when it is first imported.
    r"|/root(/\.cache(/uv(/.*)?)?|/\.prefect)?"
    r"|/etc/hublab(/.*)?"
    r"|/etc/systemd/system/(multi-user\.target\.wants/)?prefect-worker@\d+\.service"
    r"|/etc/(passwd|group|shadow|gshadow|subuid|subgid)-?|/etc/\.pwd\.lock"
)
WAYS_IN = (
    "sshd -T",
    "sha256sum $(find /etc/ssh /root/.ssh /home/operator/.ssh /etc/sudoers /etc/sudoers.d /etc/pam.d -type f | sort)",
    "sudo -l -U operator",
    "nft list ruleset 2>&1; iptables -S 2>&1; ls /etc/nftables* /etc/iptables 2>&1",
    "systemctl show --property=MainPID,ActiveEnterTimestampMonotonic ssh",
    "getent passwd root operator",
)


@pytest.fixture(scope="module")
def second(sandbox: Sandbox) -> Iterator[Machine]:
    """Another host in the same sandbox, bare; off when the module ends."""
    Sandbox.up(hosts=2, root=HOSTS, trees=TREES, python=True)
    machine = sandbox.hosts[1]
    machine.put(f"{FLOWS}/flows.py", "")
    yield machine
    machine.kill()


@pytest.fixture(scope="module")
def both(operator: Operator, machine: Machine, second: Machine) -> Operator:
    """The same operator with two hosts of one worker each."""
    hosts = {"HUBLAB_HOSTS": f"root@{machine.address},root@{second.address}", "HUBLAB_WORKERS": "1"}
    return Operator(operator.env_file, operator.settings | hosts)


def changed(machine: Machine, reference: str) -> list[str]:
    """Everything below /etc, /usr, /root, /home, /boot and /opt that changed after a file was made."""
    places = "/etc /usr /root /home /boot /opt /srv /var/spool"
    kept_out = "-path /opt/hublab -o -path /usr/local/share"
    found = machine.ssh(f"find {places} \\( {kept_out} \\) -prune -o -cnewer {reference} -print", timeout=120)
    return found.stdout.split()


def test_first_deploy_touches_no_way_in(both: Operator, second: Machine) -> None:
    before = [second.ssh(f"{{ {command}; }} || true").stdout for command in WAYS_IN]
    assert all(before[:3]), before
    second.ssh("touch /run/before-the-deploy")
    result = both.deploy()
    assert result.status == 0, result.text
    assert [second.ssh(f"{{ {command}; }} || true").stdout for command in WAYS_IN] == before
    touched = changed(second, "/run/before-the-deploy")
    assert "/etc/systemd/system/prefect-worker@1.service" in touched, "the check does not see what a deploy changes"
    assert [path for path in touched if not ALLOWED.fullmatch(path)] == []


def test_failure_on_the_second_host_takes_back_the_first(
    both: Operator, machine: Machine, second: Machine, broken_checkout: Path
) -> None:
    hosts = (machine, second)
    before = [host.ssh("readlink /opt/hublab/current; sha256sum /etc/systemd/system/prefect*").stdout for host in hosts]
    spoil(
        broken_checkout / "worker/probe_flow.py",
        'import os\nif os.environ.get("HUBLAB_WORKER_NAME") == "hublab-2-1":\n    raise RuntimeError("not here")',
    )
    result = both.at(broken_checkout).deploy()
    assert result.status != 0
    assert "hublab-1-1: ONLINE, probe run COMPLETED" in result.text
    assert "FAILED: hublab-2-1 failed its gate; rolled back" in result.text
    assert f"FAILED: the rollout failed at {second.address}; rolled back" in result.text
    after = [host.ssh("readlink /opt/hublab/current; sha256sum /etc/systemd/system/prefect*").stdout for host in hosts]
    assert after == before
    assert [left_behind(host) for host in hosts] == ["", ""]


@pytest.mark.essential
def test_host_that_loses_its_power_takes_back_the_other(both: Operator, machine: Machine, second: Machine) -> None:
    result = both.deploy()
    assert result.status == 0, result.text
    before, change = stands(machine), {"HUBLAB_CONCURRENCY": "5"}
    struck = Struck(both, **change)
    struck.until(r"hublab-2-1: ready after", timeout=600)
    assert stands(machine) != before, "the first host was to be through"
    second.kill()
    try:
        result = struck.end()
    finally:
        second.boot()
    assert result.status != 0
    assert "FAILED" in result_of(second, result.text)
    assert "hublab-1-1: put back on release" in result.text, result.text
    assert stands(machine) == before
    assert locks([machine]) == [""]
    again = both.deploy(**change)
    assert again.status == 0, again.text
    assert stands(machine) != before
    assert [left_behind(host) for host in (machine, second)] == ["", ""]
