"""What a host is asked, and the types of its answer, which travel with the program. Pure; `look.py` asks the host."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deploy import spec
from deploy.onhost.inspect_host import Address, InspectHost
from deploy.onhost.state import (
    Claim,
    Deployment,
    FileFacts,
    HostState,
    Legacy,
    LegacyUnit,
    Pool,
    PortFault,
    Release,
    Starter,
    Step,
    Uvloop,
    Worker,
)

if TYPE_CHECKING:
    from deploy.spec import WorkerHost

__all__ = [
    "Claim",
    "Deployment",
    "FileFacts",
    "HostState",
    "Legacy",
    "LegacyUnit",
    "Pool",
    "PortFault",
    "Release",
    "Starter",
    "Step",
    "Uvloop",
    "Worker",
    "question",
]


def question(host: WorkerHost, *, kept: bool = False) -> InspectHost:
    """What one host is asked for; with `kept`, also for the units of former releases."""
    return InspectHost(
        kept=kept,
        user=spec.USER,
        unit=spec.UNIT,
        webhooks=spec.WEBHOOKS_UNIT,
        webhooks_port=Address(host.webhooks.bind, host.webhooks.port) if host.webhooks else None,
        files=(*spec.PATHS, *host.read_paths, *host.write_paths),
        pool=host.work_pool,
        access=host.api_access(),
    )
