"""The machines are real, and reachable in the one way that they should be."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

import pytest

from sandbox import Sandbox, SandboxError, env_file
from sandbox.shell import run

if TYPE_CHECKING:
    from pathlib import Path


def test_each_is_a_debian_of_its_own_with_systemd_as_process_1(sandbox: Sandbox) -> None:
    ids = set()
    for machine in sandbox.machines:
        assert machine.ssh("cat /proc/1/comm; hostname; . /etc/os-release; echo $ID").stdout.split() == [
            "systemd",
            machine.name,
            "debian",
        ]
        assert machine.ssh("systemctl is-system-running").stdout.strip() == "running"
        ids.add(machine.ssh("cat /etc/machine-id").stdout)
    assert len(ids) == 3


def test_operator_has_sudo(sandbox: Sandbox) -> None:
    assert sandbox.hosts[0].ssh("id -un; sudo id -un", user="operator").stdout.split() == ["operator", "root"]


def test_hosts_reach_each_other_and_the_server_by_name_but_nothing_outside(sandbox: Sandbox) -> None:
    first = sandbox.hosts[0]
    first.ssh("curl -fsS -m 10 http://server:4200/api/health")
    banner = first.ssh("exec 3<>/dev/tcp/hublab-2/22; head -c 7 <&3")
    assert banner.stdout == "SSH-2.0"
    outside = first.ssh("ip route get 192.0.2.1", check=False)
    assert "unreachable" in outside.stderr


def test_machines_that_are_parted_hear_nothing_of_each_other_until_it_is_over(sandbox: Sandbox) -> None:
    first, second = sandbox.hosts
    ask = f"curl -sS -m 3 -o /dev/null http://{sandbox.server.address}:4200/api/health"
    with sandbox.parted(sandbox.server, first):
        assert "timed out" in first.ssh(ask, check=False).stderr
        second.ssh(ask)
    first.ssh(ask)


def test_a_host_key_that_differs_is_refused(sandbox: Sandbox, tmp_path: Path) -> None:
    first, second = sandbox.hosts
    forged = tmp_path / "known_hosts"
    kind, key = next(
        line.split()[1:] for line in sandbox.layout.known_hosts.read_text().splitlines() if second.address in line
    )
    forged.write_text(f"{first.address} {kind} {key}\n")
    command = [part.replace(str(sandbox.layout.known_hosts), str(forged)) for part in first.ssh_command()]
    refused = run([*command, "true"], timeout=30, check=False)
    assert refused.returncode == 255
    assert "Host key verification failed" in refused.stderr
    first.ssh("true")


def test_what_was_written_survives_a_power_cut(sandbox: Sandbox) -> None:
    host = sandbox.hosts[1]
    host.ssh("echo kept > /var/lib/kept; systemd-run --quiet --unit=lives sleep 600")
    host.kill()
    assert not host.running
    with pytest.raises(SandboxError):
        host.ssh("true")
    assert not sandbox.is_up
    host.boot()
    assert host.ssh("cat /var/lib/kept; systemctl is-active lives", check=False).stdout.split() == ["kept", "inactive"]
    assert len(host.ssh("journalctl --list-boots --quiet").stdout.splitlines()) == 2


def test_campaign_that_is_set_up_learns_of_new_hosts_and_credentials(sandbox: Sandbox) -> None:
    file = sandbox.layout.campaign_file
    env_file.write(file, {"HUBLAB_HOSTS": "root@10.0.0.9", "HUBLAB_WORKERS": "2", "PREFECT_API_AUTH_STRING": "a:b"})
    try:
        sandbox.write_env()
        found = env_file.read(file)
    finally:
        file.unlink()
    now = env_file.read(sandbox.env_file)
    same = {key: now[key] for key in ("HUBLAB_HOSTS", "PREFECT_API_AUTH_STRING")}
    assert found == same | {"HUBLAB_WORKERS": "2"}


def test_secrets_are_not_for_others(sandbox: Sandbox) -> None:
    for path in (sandbox.env_file, sandbox.layout.key):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert sandbox.server.ssh("stat -c %a:%U /etc/prefect/server.env").stdout.strip() == "600:root"
    denied = sandbox.server.ssh("cat /etc/prefect/server.env", user="operator", check=False)
    assert "Permission denied" in denied.stderr
