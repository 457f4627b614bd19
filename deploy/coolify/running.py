"""What runs of an application: its workers as Prefect's server knows them, its webhooks by what they say themselves."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from deploy.coolify.state import Running

if TYPE_CHECKING:
    from collections.abc import Collection

    from deploy.coolify.client import Client
    from deploy.coolify.prefect import Prefect
    from deploy.spec import WorkerHost

PROBE = "hublab-probe"
# The webhooks say it at their start and every hour (flows/webhooks/service.py).
LOG_LINES = 5000
SERVES = r"webhooks ({uuid}-\S+): release (\S+)"


def of(wanted: WorkerHost, prefect: Prefect, coolify: Client) -> tuple[Running, ...]:
    """What runs of the wanted application.

    Raises:
        OSError, CoolifyError: who would know does not answer.
    """
    if wanted.webhooks:
        return webhooks(coolify, wanted.application)
    return workers(prefect, wanted.work_pool, wanted.application)


def webhooks(coolify: Client, uuid: str) -> tuple[Running, ...]:
    """The container that serves; none where Coolify has no log of one.

    Raises:
        CoolifyError: Coolify does not answer.
    """
    log = coolify.logs(uuid, LOG_LINES)
    said = re.findall(SERVES.format(uuid=re.escape(uuid)), log)
    name, release = said[-1] if said else (uuid, "")
    return (Running(name, online=True, release=release),) if log.strip() else ()


def workers(prefect: Prefect, pool: str, uuid: str) -> tuple[Running, ...]:
    """Those whose name begins with the application's uuid, as Coolify names its containers.

    Raises:
        OSError: the server does not answer.
    """
    found = [item for item in listed(prefect, pool) if _is_of(str(item["name"]), uuid)]
    return tuple(
        Running(str(item["name"]), item["status"] == "ONLINE", _release(prefect, item["name"]), str(item["created"]))
        for item in found
    )


def others(prefect: Prefect, pool: str, uuid: str) -> frozenset[str]:
    """The workers ONLINE in a pool that are not the application's.

    Raises:
        OSError: the server does not answer.
    """
    names = (str(item["name"]) for item in listed(prefect, pool) if item["status"] == "ONLINE")
    return frozenset(name for name in names if not _is_of(name, uuid))


def _is_of(name: str, uuid: str) -> bool:
    """Whether it is a worker of an application's; one of a preview of a pull request is not."""
    return name.startswith(uuid) and not name.startswith(f"{uuid}-pr-")


def listed(prefect: Prefect, pool: str) -> list[dict[str, Any]]:
    """The workers of a pool; none where there is no such pool, which the first worker creates."""
    return prefect.pages(f"/work_pools/{quote(pool)}/workers/filter", {})


def gone(workers: Collection[Running]) -> list[Running]:
    """Those whose container another one has taken the place of. Pure.

    One that is merely silent is none: who polls a queue that was removed gets no runs at all.
    """
    latest = max((worker.created for worker in workers if worker.online), default="")
    return [item for item in workers if not item.online and item.created < latest]


def forget(prefect: Prefect, pool: str, worker: str) -> None:
    """A worker whose container is gone, and the queue of its probes, are listed no more; where that fails, later."""
    for path in (f"workers/{quote(worker)}", f"queues/{quote('probe-' + worker)}"):
        with suppress(OSError):
            prefect.ask(f"/work_pools/{quote(pool)}/{path}", None, "DELETE")


def _release(prefect: Prefect, worker: str) -> str:
    """What the last probe run of a worker that completed says of its release."""
    body = {
        "flow_runs": {
            "name": {"any_": [f"probe-{worker}"]},
            "tags": {"all_": [PROBE]},
            "state": {"type": {"any_": ["COMPLETED"]}},
        },
        "sort": "END_TIME_DESC",
        "limit": 5,
    }
    for run in prefect.ask("/flow_runs/filter", body):
        labels = run.get("labels") or {}
        if labels.get("prefect.worker.name") == worker:
            return str(labels.get("hublab.release", ""))
    return ""
