"""Bad input: one error each, with what, where and the remedy, before anything was changed; the workers serve on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.hosts.conftest import as_wanted, main_pids, webhooks

if TYPE_CHECKING:
    from pathlib import Path

    from sandbox import Machine, Sandbox
    from sandbox.operator import Operator


@pytest.fixture(scope="module", autouse=True)
def _start_from_a_deployed_host(operator: Operator) -> None:
    as_wanted(operator)


def refused(
    operator: Operator, machine: Machine, *said: str, options: tuple[str, ...] = (), **overrides: str | None
) -> None:
    """The deploy ends with a status other than 0, says all of this, and no worker was touched."""
    before = main_pids(machine), machine.ssh("sha256sum /etc/hublab/* /etc/systemd/system/prefect-worker@*").stdout
    result = operator.deploy(*options, **overrides)
    assert result.status != 0, result.text
    for text in said:
        assert text in result.text, result.text
    assert "Traceback" not in result.text, result.text
    after = main_pids(machine), machine.ssh("sha256sum /etc/hublab/* /etc/systemd/system/prefect-worker@*").stdout
    assert after == before


def test_unknown_key_is_refused(operator: Operator, machine: Machine) -> None:
    refused(operator, machine, "HUBLAB_WORKER: unknown key", "did you mean HUBLAB_WORKERS?", HUBLAB_WORKER="4")


def test_missing_value_is_refused(operator: Operator, machine: Machine) -> None:
    refused(operator, machine, "HUBLAB_HOSTS: missing", "[user@]host[:port]", HUBLAB_HOSTS=None)


def test_malformed_value_is_refused(operator: Operator, machine: Machine) -> None:
    refused(operator, machine, "HUBLAB_WORKERS: '0' is not a whole number from 1 to 64", HUBLAB_WORKERS="0")


def test_port_of_the_webhooks_is_taken(operator: Operator, machine: Machine) -> None:
    open_ = "timeout 1 bash -c '</dev/tcp/127.0.0.1/8081'"
    machine.ssh("systemd-run --quiet --unit=squatter /usr/local/bin/python3.12 -m http.server 8081")
    try:
        machine.ssh(f"for i in $(seq 100); do {open_} 2>/dev/null && break; sleep 0.1; done; {open_}")
        wanted = webhooks(machine) | {"HUBLAB_WEBHOOKS": f"{machine.address}:8081"}
        said = f"HUBLAB_WEBHOOKS: at {machine.address}, port 8081 listens python3.12 -m http.server"
        refused(operator, machine, said, "unit squatter.service", "name another port", options=(), **wanted)
        wanted["HUBLAB_WEBHOOKS_BIND"] = "192.0.2.1"
        refused(
            operator, machine, "nobody can listen at 192.0.2.1, port 8081", "HUBLAB_WEBHOOKS_BIND", options=(), **wanted
        )
    finally:
        machine.ssh("systemctl stop squatter")


def test_unreachable_host_stops_the_deploy_of_all(operator: Operator, machine: Machine, sandbox: Sandbox) -> None:
    nobody = machine.address.rpartition(".")[0] + ".250"
    hosts = f"root@{machine.address},root@{nobody}"
    refused(
        operator,
        machine,
        nobody,
        "Could not connect",
        "is its SSH port open?",
        HUBLAB_HOSTS=hosts,
        HUBLAB_CONCURRENCY="5",
    )


def test_wrong_host_key_is_refused(operator: Operator, machine: Machine, sandbox: Sandbox, tmp_path: Path) -> None:
    other = tmp_path / "known_hosts"
    server_key = next(line for line in sandbox.layout.known_hosts.read_text().splitlines() if "server" in line)
    other.write_text(f"{machine.address} {server_key.split(None, 1)[1]}\n")
    refused(operator, machine, "does not match", "ssh-keygen -R", HUBLAB_SSH_KNOWN_HOSTS=str(other))


def test_unknown_host_key_is_refused(operator: Operator, machine: Machine, tmp_path: Path) -> None:
    empty = tmp_path / "known_hosts"
    empty.write_text("")
    refused(operator, machine, "No host key for", "ssh-keyscan", HUBLAB_SSH_KNOWN_HOSTS=str(empty))


def test_login_that_is_refused_names_the_key(operator: Operator, machine: Machine) -> None:
    refused(operator, machine, "Authentication error", "HUBLAB_SSH_KEY", HUBLAB_HOSTS=f"nobody@{machine.address}")


def test_sudo_that_is_refused_says_so(operator: Operator, machine: Machine) -> None:
    machine.ssh("useradd --create-home plain && cp -r /root/.ssh /home/plain/ && chown -R plain: /home/plain/.ssh")
    refused(
        operator,
        machine,
        "sudo is refused to user plain",
        "without a password",
        HUBLAB_HOSTS=f"plain@{machine.address}",
    )


def test_api_refuses_the_credential(operator: Operator, machine: Machine) -> None:
    said = (
        "PREFECT_API_AUTH_STRING",
        "refuses it (401)",
        f"put the credential that the server was started with into {operator.env_file}",
    )
    refused(operator, machine, *said, PREFECT_API_AUTH_STRING="hublab:wrong")


def test_api_that_the_host_cannot_reach_is_refused(operator: Operator, machine: Machine, sandbox: Sandbox) -> None:
    url = sandbox.api_url.replace(":4200", ":4299")
    refused(operator, machine, "PREFECT_API_URL", "could not be reached from the host", PREFECT_API_URL=url)


def test_python_that_is_nowhere_is_refused(operator: Operator, machine: Machine) -> None:
    """Of the version that is wanted there is none, and none is known that could be brought."""
    refused(operator, machine, "no Python 3.12.999 (found: 3.11", "none is known that could", HUBLAB_PYTHON="3.12.999")


def test_python_that_is_too_old_is_refused(operator: Operator, machine: Machine) -> None:
    refused(
        operator,
        machine,
        "no Python /usr/bin/python3 on the host",
        "Python 3.12 or 3.13",
        HUBLAB_PYTHON="/usr/bin/python3",
    )


def test_disk_without_room_for_a_release_is_refused(operator: Operator, machine: Machine) -> None:
    """The folder of the releases is on a disk of 100 MB, so that a release cannot be built there."""
    machine.ssh("mount -t tmpfs -o size=100m tmpfs /opt/hublab")
    try:
        refused(operator, machine, "/opt/hublab: 100 MiB free, 700 MiB are needed", "make room")
    finally:
        machine.ssh("umount /opt/hublab")
