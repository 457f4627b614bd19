"""systemd's sandboxing works inside a machine, so that what a deploy claims of its units can be tested there."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sandbox import server

if TYPE_CHECKING:
    from sandbox import Machine, Sandbox

HERE = Path(__file__).parent / "hardening"
ATTEMPTS = ("write", "see_others", "connect", "execute", "mount", "new_namespace")


@pytest.fixture
def host(sandbox: Sandbox) -> Machine:
    host = sandbox.hosts[0]
    start = f"/usr/bin/python3 /etc/probe.py {sandbox.server.address} {server.PORT}"
    host.put("/etc/probe.py", (HERE / "probe.py").read_text())
    for name in ("loose", "tight"):
        host.put(
            f"/etc/systemd/system/{name}.service",
            f"[Service]\nType=oneshot\nSyslogIdentifier=probe\nExecStart={start}\n",
        )
    host.put("/etc/systemd/system/tight.service.d/tight.conf", (HERE / "tight.conf").read_text())
    host.ssh("systemctl daemon-reload")
    return host


def probe(host: Machine, unit: str) -> dict[str, str]:
    host.ssh(f"systemctl start {unit}", check=False)
    # By the stream's own name: what the journal looks up of a process is missing once that has ended.
    said = host.ssh(f"journalctl --sync; journalctl -u {unit} -t probe -o cat --no-pager").stdout
    return dict(line.split("=", 1) for line in said.splitlines() if "=" in line)


def test_a_strongly_sandboxed_unit_runs_and_its_walls_hold(host: Machine) -> None:
    assert probe(host, "tight") == dict.fromkeys(ATTEMPTS, "denied") | {"credential": "hublab-1"}
    score = host.ssh("systemd-analyze security --no-pager tight.service | tail -1").stdout
    assert float(score.split("tight.service: ")[1].split()[0]) <= 1.0


def test_without_the_walls_each_attempt_succeeds(host: Machine) -> None:
    """Or the test above would prove nothing."""
    assert probe(host, "loose") == dict.fromkeys(ATTEMPTS, "allowed")
