"""What the benchmarks measure in: a sandbox in a folder of its own, or the stand-ins without limits that take time."""

from __future__ import annotations

from deploy.settings import ROOT
from sandbox import Sandbox
from sandbox.layout import shared_trees

# A campaign's settings beside those of the stand-ins.
UNLIMITED = {
    "HUBLAB_PUBLIC_URL": "https://hooks.hublab.test",
    "HUBLAB_CALENDLY_LINK": "https://calendly.com/hublab/call",
    "HUBLAB_PORTAL_URL": "https://portal.hublab.test",
    "HUBLAB_NOTION_PER_MINUTE": "1000000",
    "HUBLAB_RESEND_PER_SECOND": "100000",
    "UNSUBSCRIBE_SECRET": "bench",
    "TESTING_MODE": "true",
    "TESTING_ADDRESS": "delivered@resend.dev",
}


def boot(name: str, hosts: int = 1) -> Sandbox:
    """The sandbox of that name, with so many worker hosts; whoever boots it takes it down.

    Raises:
        SandboxError: it could not be booted.
    """
    return Sandbox.up(hosts=hosts, root=ROOT / ".hublab/bench" / name, trees=shared_trees(), python=True)
