"""What the workers of a pool have in hand: `python -m worker.status --pool POOL [--worker NAME]`.

Asks Prefect's API alone, so it also answers for workers of other versions and on other hosts. Prefect's own workers
label their runs with their name, as this project's do.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from worker.connection import connection
from worker.rest import ApiError, Rest

if TYPE_CHECKING:
    from collections.abc import Sequence

IN_FLIGHT = ["PENDING", "RUNNING", "CANCELLING"]
_NOBODY = ""


@dataclass
class WorkerStatus:
    """One worker as Prefect's server sees it. `runs` holds ids of flow runs in flight, longest first."""

    worker: str
    status: str = "UNKNOWN"
    heartbeat: str | None = None
    runs: list[str] = field(default_factory=list)


def workers(rest: Rest, pool: str) -> dict[str, WorkerStatus]:
    """Each worker of the pool, by name; none when there is no such pool, which the first worker creates.

    Raises:
        ApiError: the API does not answer in time.
    """
    answer = rest.pages(f"/work_pools/{pool}/workers/filter", {})
    return {
        entry["name"]: WorkerStatus(entry["name"], entry["status"], entry["last_heartbeat_time"]) for entry in answer
    }


def in_flight(rest: Rest, pool: str) -> dict[str, list[str]]:
    """Flow runs that are begun and not ended, by their worker's name; "" for those that no worker has labelled yet."""
    runs: dict[str, list[str]] = {}
    for run in rest.pages("/flow_runs/filter", _filter(pool)):
        runs.setdefault((run.get("labels") or {}).get("prefect.worker.name", _NOBODY), []).append(run["id"])
    return runs


def status(rest: Rest, pool: str) -> list[WorkerStatus]:
    """Every worker of the pool with its runs; also names that have runs in flight but are no longer registered."""
    known = workers(rest, pool)
    for name, runs in in_flight(rest, pool).items():
        known.setdefault(name, WorkerStatus(name)).runs = runs
    return sorted(known.values(), key=lambda worker: worker.worker)


def _filter(pool: str) -> dict[str, Any]:
    return {
        "sort": "START_TIME_ASC",
        "flow_runs": {"state": {"type": {"any_": IN_FLIGHT}}},
        "work_pools": {"name": {"any_": [pool]}},
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a JSON array of workers. Exit status 0, or 1 with the API's fault on standard error."""
    parser = argparse.ArgumentParser(prog="python -m worker.status", description=__doc__)
    parser.add_argument("--pool", default=os.environ.get("HUBLAB_WORK_POOL", "default"))
    parser.add_argument("--worker", help="this one alone")
    parser.add_argument("--timeout", type=float, default=30, metavar="SECONDS")
    options = parser.parse_args(arguments)
    try:
        with Rest(connection(os.environ), options.timeout) as rest:
            found = status(rest, options.pool)
    except (ApiError, ValueError) as error:
        sys.stderr.write(f"worker.status: {error}\n")
        return 1
    wanted = [asdict(worker) for worker in found if options.worker in {None, worker.worker}]
    sys.stdout.write(json.dumps(wanted) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
