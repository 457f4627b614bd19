"""What is uploaded is seen and touched by root alone, also where a user with sudo uploads it."""

from __future__ import annotations

import hashlib
import os
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
from paramiko import SSHClient

from deploy.release import upload

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pyinfra.api import Host

    from sandbox import Machine

# A local user who looks everywhere for what arrives, takes a copy, and puts something of his own in its place.
THIEF = """
cd /home/thief
while [ ! -e stop ]; do
    for found in /opt/hublab/.arriving* /opt/hublab/.payload* /tmp/* /var/tmp/* /dev/shm/*; do
        case $found in */systemd-private-*|*/'*') continue;; esac
        echo "$found" >> names
        for file in "$found" "$found"/*; do
            [ ! -f "$file" ] || ! cp "$file" "loot.$(basename "$file")" || echo "$file" >> read
            [ -e "$file" ] || continue
            ln -sf /etc/hostname "$file" || echo evil > "$file" || continue
            echo "$file" >> written
        done
    done
    echo >> rounds
done 2>/dev/null
"""


@pytest.fixture
def thief(machine: Machine) -> Iterator[Machine]:
    machine.ssh("install -d -m 0755 /opt/hublab; useradd --create-home --shell /bin/sh thief")
    machine.put("/home/thief/look", THIEF, mode=0o755)
    machine.ssh("systemd-run --quiet --collect --unit=thief --uid=thief sh /home/thief/look")
    machine.ssh("for i in $(seq 100); do [ -s /home/thief/rounds ] && exit 0; sleep 0.1; done; exit 1")
    yield machine
    machine.ssh("touch /home/thief/stop; systemctl stop thief; userdel --remove thief", check=False)


@pytest.mark.parametrize("user", ["root", "operator"])
def test_a_local_user_neither_reads_nor_changes_it(thief: Machine, tmp_path: Path, user: str) -> None:
    content = os.urandom(24 << 20)
    (tmp_path / "payload").write_bytes(content)
    with SSHClient() as client:
        client.load_host_keys(str(thief.layout.known_hosts))
        client.connect(thief.address, username=user, key_filename=str(thief.layout.key))
        host = cast("Host", SimpleNamespace(connector=SimpleNamespace(client=client)))
        before = rounds(thief)
        folder = upload.send(host, tmp_path / "payload")
    thief.ssh(
        f"for i in $(seq 100); do [ $(wc -l < /home/thief/rounds) -gt {before + 2} ] && exit; sleep 0.1; done; exit 1"
    )
    try:
        assert thief.ssh(f"stat -c '%a %U' {folder} {folder}/payload.tar").stdout.split() == [
            "700",
            "root",
            "600",
            "root",
        ]
        digest = thief.ssh(f"sha256sum {folder}/payload.tar").stdout.split()[0]
        assert digest == hashlib.sha256(content).hexdigest()
        seen = thief.ssh("cd /home/thief; cat names; echo; cat read written", check=False).stdout
        assert folder in seen, "the thief did not look while it was there"
        assert f"{folder}/" not in seen
        assert "payload" not in thief.ssh("cd /home/thief; ls; cat read written 2>/dev/null", check=False).stdout
    finally:
        thief.ssh(f"rm -r {folder}")


def test_a_host_that_has_no_room_says_so_and_keeps_nothing(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.ssh("mkdir -p /run/small && mount -t tmpfs -o size=1m,mode=755 tmpfs /run/small")
    monkeypatch.setattr(upload, "RECEIVE", upload.RECEIVE.replace("/opt/hublab", "/run/small"))
    (tmp_path / "payload").write_bytes(os.urandom(4 << 20))
    try:
        with SSHClient() as client:
            client.load_host_keys(str(machine.layout.known_hosts))
            client.connect(machine.address, username="root", key_filename=str(machine.layout.key))
            host: Any = SimpleNamespace(connector=SimpleNamespace(client=client))
            with pytest.raises(upload.UploadError, match="No space left on device"):
                upload.send(host, tmp_path / "payload")
        assert machine.ssh("ls -A /run/small").stdout == ""
    finally:
        machine.ssh("umount /run/small")


def rounds(machine: Machine) -> int:
    """How many times the thief has looked everywhere."""
    return int(machine.ssh("wc -l < /home/thief/rounds").stdout)
