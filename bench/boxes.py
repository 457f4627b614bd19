"""The sandboxes that the benchmarks measure in: one folder each, and the file trees of all tests and benchmarks."""

from __future__ import annotations

from deploy.settings import ROOT
from sandbox import Sandbox
from sandbox.layout import shared_trees


def boot(name: str, hosts: int = 1) -> Sandbox:
    """The sandbox of that name, with so many worker hosts; whoever boots it takes it down.

    Raises:
        SandboxError: it could not be booted.
    """
    return Sandbox.up(hosts=hosts, root=ROOT / ".hublab/bench" / name, trees=shared_trees(), python=True)
