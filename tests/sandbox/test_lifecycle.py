"""Up is idempotent, and down leaves nothing, wherever an up was cut off."""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from sandbox import Sandbox, SandboxError, place
from sandbox.layout import CHECKOUT
from sandbox.waiting import wait_for
from tests.sandbox import traces

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sandbox import Machine
    from sandbox.layout import Layout


@pytest.fixture
def root(tmp_path: Path, trees: Path) -> Iterator[Path]:
    folder = tmp_path / "other"
    yield folder
    Sandbox.at(folder, trees).down()


@pytest.fixture
def interruptible() -> Iterator[None]:
    """What a shell runs in its background may ignore SIGINT, and hands that down to all that it starts."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_down_leaves_no_process_mount_interface_cgroup_or_file(sandbox: Sandbox, root: Path, trees: Path) -> None:
    layout = Sandbox.at(root, trees).layout
    before = traces.of(layout)
    other = Sandbox.up(root=root, trees=trees)
    during = traces.of(layout)
    assert len(during.processes) > 10
    assert during.interfaces
    assert during.routes
    assert during.cgroups
    other.down()
    assert traces.of(layout) == before
    other.down()
    assert traces.of(layout) == before
    assert sandbox.is_up  # the neighbour was left alone
    sandbox.hosts[0].ssh("true")


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_an_up_that_is_cut_off_leaves_nothing(root: Path, end: signal.Signals, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HUBLAB_SANDBOX_TREES", raising=False)  # it shall be cut off while it builds
    sandbox = Sandbox.at(root)
    temporary = root.with_name("temporary")
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    before = traces.of(sandbox.layout)
    command = [sys.executable, "-m", "sandbox", "--root", str(root), "up"]
    with subprocess.Popen(command, cwd=CHECKOUT, stderr=subprocess.DEVNULL) as up:
        await_builder(sandbox.layout, up)
        up.send_signal(end)
        assert up.wait(timeout=60) == (-signal.SIGKILL if end == signal.SIGKILL else 130)
    if end == signal.SIGKILL:
        assert traces.of(sandbox.layout).processes, "the builders outlive the process that was killed"
        sandbox.down()
    assert traces.of(sandbox.layout) == before
    assert not list(temporary.iterdir())


def test_a_second_up_changes_nothing_and_a_cut_host_is_booted(sandbox: Sandbox) -> None:
    began, auth = [started(machine) for machine in sandbox.machines], sandbox.auth
    again = Sandbox.up(hosts=2, root=sandbox.layout.root, trees=sandbox.layout.trees)
    assert ([started(machine) for machine in again.machines], again.auth) == (began, auth)
    sandbox.hosts[0].kill()
    again = Sandbox.up(hosts=1, root=sandbox.layout.root, trees=sandbox.layout.trees)
    assert again.is_up
    assert [started(machine) for machine in again.machines][::2] == began[::2]


def started(machine: Machine) -> str:
    return machine.ssh("stat -c %Y /proc/1; cat /etc/machine-id").stdout


def test_rubble_is_cleared_away(root: Path, trees: Path, sandbox: Sandbox) -> None:
    layout = Sandbox.at(root, trees).layout
    place.claim(layout)
    (layout.machines / "hublab-9/upper").mkdir(parents=True)
    other = Sandbox.up(root=root, trees=trees)
    assert [host.name for host in other.hosts] == ["hublab-1"]


def test_a_subnet_that_is_taken_is_refused(
    root: Path, trees: Path, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HUBLAB_SANDBOX_SUBNET", str(sandbox.layout.subnet))
    layout = Sandbox.at(root, trees).layout
    before = traces.of(layout)
    with pytest.raises(
        SandboxError, match=rf"is taken: .* goes to {sandbox.layout.bridge}; remedy: HUBLAB_SANDBOX_SUBNET"
    ):
        Sandbox.up(root=root, trees=trees)
    assert traces.of(layout).interfaces == before.interfaces


def test_a_firewall_between_host_and_server_is_named(sandbox: Sandbox) -> None:
    layout, host = sandbox.layout, sandbox.hosts[0]
    host.ssh(f"ip route add blackhole {sandbox.server.address}/32")
    try:
        with pytest.raises(
            SandboxError, match=rf"hublab-1 does not reach .*FORWARD -i {layout.bridge} -o {layout.bridge} -j ACCEPT"
        ):
            Sandbox.up(hosts=1, root=layout.root, trees=layout.trees)
    finally:
        host.ssh(f"ip route del blackhole {sandbox.server.address}/32")
    assert sandbox.is_up


def test_who_is_not_root_is_told_so(root: Path) -> None:
    program = (
        "import os, sandbox, sys; os.setuid(65534); sandbox.Sandbox.up(root=__import__('pathlib').Path(sys.argv[1]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(root)], cwd=CHECKOUT, capture_output=True, text=True, check=False
    )
    assert "takes root; remedy: sudo ./hublab deploy, or hosts in .env" in done.stderr


def await_builder(layout: Layout, up: subprocess.Popen[bytes]) -> None:
    """Return when mmdebstrap has begun to fill the tree."""
    begun = "base-*.partial/*"
    wait_for(lambda: list(layout.trees.glob(begun)) or up.poll() is not None, "mmdebstrap has begun", 60)
    assert up.poll() is None
