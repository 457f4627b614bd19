"""The flow run that a gate waits for. It fails where a customer's run would crash, or could harm other runs."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import TYPE_CHECKING

from prefect import flow
from prefect.states import Completed

from worker import domain, event_loop, landlock, settings

if TYPE_CHECKING:
    from prefect.client.schemas.objects import State


@flow(name="hublab-probe", persist_result=False, log_prints=False)
async def hublab_probe(worker: str) -> State[None]:
    """Complete, with the release in the state's message, if this is the named worker's and can start a subprocess.

    Raises:
        RuntimeError: another worker took the run, uvloop is importable, the run is in no domain of its own, or a
            subprocess does not start.
    """
    here = os.environ.get("HUBLAB_WORKER_NAME")
    if here != worker:
        raise RuntimeError(f"the run was meant for worker {worker}, and {here} took it")
    if fault := event_loop.uvloop_fault():
        raise RuntimeError(fault)
    if breaches := domain.breaches(listen=settings.may_listen(os.environ)):
        raise RuntimeError(f"a flow run of this worker can {'; '.join(breaches)}")
    process = await asyncio.create_subprocess_exec(sys.executable, "-S", "-c", "")
    if status := await process.wait():
        raise RuntimeError(f"a subprocess of the flow run ended with status {status}")
    release = os.environ.get("HUBLAB_RELEASE", "unreleased")
    return Completed(message=f"worker {worker}, release {release}, Landlock {landlock.abi()}")
