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
        before=spec.BEFORE,
        kept_units=spec.KEPT_UNITS,
        kept=kept,
        base=spec.BASE,
        config=spec.CONFIG,
        user=spec.USER,
        units=spec.UNITS,
        unit=spec.UNIT,
        webhooks=spec.WEBHOOKS_UNIT,
        webhooks_port=Address(host.webhooks.bind, host.webhooks.port) if host.webhooks else None,
        files=(*spec.PATHS, *host.read_paths, *host.write_paths),
        audit=spec.AUDIT,
        pool=host.work_pool,
        environment=spec.ENVIRONMENT,
        lock_folder=spec.LOCK,
        access=host.api_access(),
    )
