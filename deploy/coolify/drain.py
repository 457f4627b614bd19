"""Takes a pool's queues away from a stock worker until its runs have ended. No run is lost: what is due waits.

A stock worker polls every queue of its pool and cannot be told to stop polling. A queue that is paused gives runs to
nobody, so for that time nobody else begins one either; the queues of the gate's probes stay open.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING
from urllib.parse import quote

from deploy.coolify.prefect import HTTP_NOT_FOUND
from deploy.onhost.prefect_api import ApiError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from deploy.coolify.prefect import Prefect

PROBES = ("probe-", "hublab-probe")
IN_FLIGHT = ["PENDING", "RUNNING", "CANCELLING"]
LOOK_SECONDS = 5.0
# What was polled just before the queues were paused has become a run in flight by then.
SETTLE_SECONDS = 20.0
OURS = "hublab.release"


def open_queues(prefect: Prefect, pool: str) -> list[str]:
    """The names of those that give runs to workers, but for the gate's."""
    found = prefect.pages(f"/work_pools/{quote(pool)}/queues/filter", {})
    return [item["name"] for item in found if not (item["is_paused"] or str(item["name"]).startswith(PROBES))]


def pause(prefect: Prefect, pool: str, names: Iterable[str]) -> None:
    """Takes them away."""
    for name in names:
        _set(prefect, pool, name, paused=True)


def resume(prefect: Prefect, pool: str, names: Iterable[str]) -> None:
    """Opens them again."""
    for name in names:
        _set(prefect, pool, name, paused=False)


def _set(prefect: Prefect, pool: str, name: str, *, paused: bool) -> None:
    try:
        prefect.ask(f"/work_pools/{quote(pool)}/queues/{quote(name)}", {"is_paused": paused}, "PATCH")
    except ApiError as error:
        if error.status != HTTP_NOT_FOUND:  # somebody has deleted it meanwhile
            raise


def in_flight(prefect: Prefect, pool: str, worker: str) -> list[str]:
    """Names of the runs that a worker has begun; with no name, those of all workers that are none of ours."""
    body = {"flow_runs": {"state": {"type": {"any_": IN_FLIGHT}}}, "work_pools": {"name": {"any_": [pool]}}}
    found = []
    for run in prefect.pages("/flow_runs/filter", body):
        labels = run.get("labels") or {}
        theirs = labels.get("prefect.worker.name") == worker if worker else OURS not in labels
        if theirs:
            found.append(str(run["name"]))
    return found


def wait(
    prefect: Prefect, pool: str, worker: str, seconds: float, sleep: Callable[[float], object] = time.sleep
) -> list[str]:
    """Waits until they have ended; those that have not in that time."""
    waited = 0.0
    while True:
        sleep(LOOK_SECONDS)
        waited += LOOK_SECONDS
        try:
            left = in_flight(prefect, pool, worker)
        except OSError:  # nobody else can say it either
            if waited >= seconds:
                raise
            continue
        if waited >= SETTLE_SECONDS and (not left or waited >= seconds):
            return left
