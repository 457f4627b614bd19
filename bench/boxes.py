"""The sandboxes that the benchmarks measure in: one folder each, and the file trees of all tests and benchmarks."""

from __future__ import annotations

import os
from pathlib import Path

from deploy.settings import ROOT
from sandbox import Sandbox


def boot(name: str, hosts: int = 1) -> Sandbox:
    """The sandbox of that name, with so many worker hosts; whoever boots it takes it down.

    Raises:
        SandboxError: it could not be booted.
    """
    trees = Path(os.environ.get("HUBLAB_SANDBOX_TREES") or ROOT / ".hublab/trees")
    return Sandbox.up(hosts=hosts, root=ROOT / ".hublab/bench" / name, trees=trees, python=True)
