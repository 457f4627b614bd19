"""One host under systemd-nspawn in the network of a dockerd's containers: a fleet of both kinds has one Prefect."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from sandbox import build, identity, interpreter, needs, network, tree
from sandbox.cgroup import Cgroup
from sandbox.files import write_whole
from sandbox.layout import MAX_HOSTS
from sandbox.machine import Machine
from sandbox.shell import step
from sandbox.teardown import folder_locked

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox.layout import Layout


@contextmanager
def booted(layout: Layout) -> Iterator[Machine]:
    """For as long as the block runs, which ends before the daemon does. It has the server's Python and nothing of ours.

    Raises:
        SandboxError: something is missing here, or it did not come up.
    """
    needs.ensure(layout.root)
    try:
        with folder_locked(layout.trees):
            layers = [interpreter.layer(layout), tree.base(layout, build.builders(layout))]
        identity.make_key(layout)
        machine = Machine(f"hublab-{MAX_HOSTS}", layout)
        machine.prepare(layers)
        write_whole(layout.known_hosts, identity.known_hosts(machine), mode=0o644)
        network.up(layout)
        with step(f"boot {machine.name}"):
            machine.boot()
        yield machine
    finally:
        Cgroup(layout.cgroup).kill()
