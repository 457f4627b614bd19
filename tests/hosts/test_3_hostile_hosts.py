"""Hosts that somebody has prepared, or that are odd: refused with the reason, or deployed to all the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.hosts.conftest import as_wanted, main_pids
from tests.hosts.test_3_refusals import refused
from tests.hosts.test_5_rollback import left_behind
from tests.hosts.test_6_gates import another

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sandbox import Machine
    from sandbox.operator import Operator


@pytest.fixture(scope="module", autouse=True)
def _start_from_a_deployed_host(operator: Operator) -> None:
    as_wanted(operator)


@pytest.fixture
def until_then(machine: Machine) -> Iterator[Callable[[str, str], None]]:
    """Does something to the host, and undoes it when the test has ended."""
    undoing: list[str] = []

    def do(command: str, undo: str) -> None:
        undoing.insert(0, undo)
        machine.ssh(command)

    yield do
    for undo in undoing:
        # A shell that its own start-up file ends runs nothing.
        machine.ssh(undo, check=False)


PLACES = {
    "wheels of a user's": (
        "chown operator /opt/hublab/wheels", "chown root /opt/hublab/wheels", "/opt/hublab/wheels belongs to operator",
    ),
    "state that all can write": (
        "chmod 0777 /var/lib/hublab", "chmod 0755 /var/lib/hublab",
        "/var/lib/hublab can be written by others than root",
    ),
    "lock folder of a user's": (
        "chown operator /run/hublab", "chown root /run/hublab", "/run/hublab belongs to operator",
    ),
    "link into a home": (
        "mv /etc/hublab /home/operator/hublab && ln -s /home/operator/hublab /etc/hublab",
        "rm /etc/hublab && mv /home/operator/hublab /etc/hublab", "/home/operator belongs to operator",
    ),
    "account of a person's": (
        "useradd --create-home --shell /bin/bash hublab-worker-9", "userdel --remove hublab-worker-9",
        "the account hublab-worker-9 (uid ",
    ),
}  # fmt: skip


@pytest.mark.parametrize("place", PLACES)
def test_what_is_not_roots_alone_is_not_believed(
    place: str, operator: Operator, machine: Machine, until_then: Callable[[str, str], None]
) -> None:
    do, undo, said = PLACES[place]
    until_then(do, undo)
    refused(operator, machine, said, HUBLAB_CONCURRENCY="9")


def test_one_host_by_two_addresses(
    operator: Operator, machine: Machine, until_then: Callable[[str, str], None], tmp_path: Path
) -> None:
    second = machine.address.rpartition(".")[0] + ".251"
    device = json.loads(machine.ssh("ip -json route").stdout)[0]["dev"]
    until_then(f"ip address add {second}/32 dev {device}", f"ip address del {second}/32 dev {device}")
    known = Path(operator.settings["HUBLAB_SSH_KNOWN_HOSTS"]).read_text()
    both = tmp_path / "known_hosts"
    both.write_text(known + known.replace(machine.address, second))
    hosts = f"root@{machine.address},root@{second}"
    refused(
        operator, machine, "both call themselves hublab-1", HUBLAB_HOSTS=hosts, HUBLAB_SSH_KNOWN_HOSTS=str(both),
        HUBLAB_CONCURRENCY="9",
    )  # fmt: skip


def test_shell_that_ends_at_once(operator: Operator, machine: Machine, until_then: Callable[[str, str], None]) -> None:
    """Status 0 and no word: nothing was run, and nothing is taken for done."""
    pids = main_pids(machine)
    machine.ssh("useradd --create-home quitter && cp -r /root/.ssh /home/quitter/ && chown -R quitter: /home/quitter")
    until_then("printf '#!/bin/sh\\nexit 0\\n' > /bin/quit; chmod 755 /bin/quit", "userdel -r quitter; rm /bin/quit")
    machine.ssh("usermod --shell /bin/quit quitter")
    result = operator.deploy(HUBLAB_CONCURRENCY="9", HUBLAB_HOSTS=f"quitter@{machine.address}")
    assert result.status != 0
    # Which of them it is depends on whether the question was on its way already.
    told = ("answered nothing to the first question", "closed the connection before it answered")
    assert any(words in result.text for words in told), result.text
    assert main_pids(machine) == pids


def test_drop_in_for_all_services_is_named(
    operator: Operator, machine: Machine, until_then: Callable[[str, str], None]
) -> None:
    folder = "/etc/systemd/system/service.d"
    text = "[Service]\\nNoNewPrivileges=no\\n"
    until_then(
        f"mkdir -p {folder} && printf '{text}' > {folder}/all.conf && systemctl daemon-reload",
        f"rm -r {folder}; systemctl daemon-reload",
    )
    status = operator.run("python", "-m", "deploy.fleet", "status")
    assert status.status != 0
    assert f"{folder}/all.conf changes the units of this deploy, and no deploy removes it" in status.text


ODD = """
umask {umask}
echo "Welcome to $(hostname)! {{not JSON}}"
export LC_ALL=xx_XX.ISO-8859-1 LANG=xx_XX
"""


@pytest.mark.parametrize("umask", ["000", "077"])
def test_odd_shell_and_a_tmp_that_nothing_can_be_run_from(
    umask: str, operator: Operator, machine: Machine, broken_checkout: Path, until_then: Callable[[str, str], None]
) -> None:
    """A release is built and put to work; nothing of it can be written by others, and the workers can read it."""
    another(broken_checkout)
    until_then("mount -t tmpfs -o noexec,nosuid,nodev tmpfs /tmp", "umount -l /tmp")
    machine.put("/root/odd", ODD.format(umask=umask))
    until_then("cp /root/.bashrc /root/kept; cat /root/odd /root/kept > /root/.bashrc", "mv /root/kept /root/.bashrc")
    assert "Welcome" in machine.ssh("true").stdout, "the shell was to be an odd one"
    result = operator.at(broken_checkout).deploy()
    assert result.status == 0, result.text
    places = "/opt/hublab /etc/hublab /var/lib/hublab /run/hublab /etc/systemd/system"
    writable = machine.ssh(f"find {places} -xdev ! -type l -perm /022 ! -path '/var/lib/hublab/*/*'").stdout
    assert [line for line in writable.splitlines() if line.startswith("/")] == []
    assert "/run/hublab/lock" not in left_behind(machine)
