"""A host can be given its past, and the fault is the one that was seen in production."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox import past, runs

if TYPE_CHECKING:
    from sandbox import Sandbox


def test_a_host_of_the_past_crashes_its_runs_but_for_the_stray_worker(sandbox: Sandbox) -> None:
    host = sandbox.hosts[1]
    past.give(sandbox, [host])
    napping = past.nap(sandbox, 5)
    first, second = past.greet(sandbox), past.greet(sandbox)
    assert (first.type, second.type) == ("CRASHED", "CRASHED")
    said = past.journal(host)
    assert "in get_child_watcher" in said
    assert "NotImplementedError" in said
    workers = host.ssh("ps -eo user:20,args").stdout
    assert f"--name {past.legacy(host)} --with-healthcheck" in workers
    assert any(
        line.startswith(past.STRAY_USER) and f"--name {past.stray(host)}" in line for line in workers.splitlines()
    )
    assert host.ssh(f"systemctl is-enabled {past.UNIT}; systemctl show -P NRestarts {past.UNIT}").stdout.split() == [
        "enabled",
        "0",
    ]
    with sandbox.api() as api:
        assert runs.await_state(api, napping).type == "COMPLETED"


def test_without_uvloop_the_same_worker_runs_the_same_flow(sandbox: Sandbox) -> None:
    """So that what the tests above call the fault is the fault, and nothing else about that host."""
    host = sandbox.hosts[1]
    past.give(sandbox, [host])
    host.ssh(f"{past.VENV}/bin/python -m pip uninstall -q -y uvloop && systemctl restart {past.UNIT}")
    assert past.greet(sandbox).type == "COMPLETED"
    past.give(sandbox, [host])
    host.ssh(f"{past.VENV}/bin/python -c 'import uvloop'")
