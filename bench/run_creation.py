"""How long Prefect's server takes to create a run, by how many variables there are: `python -m bench.run_creation`.

No root: a real server (SQLite) on loopback. A run is asked of the deployment, as a website does, or written as a run of
it, as the flows do (`flows.services.prefect_api`). The variables are as a mail leaves one, and are written into the
server's database at once.
"""

from __future__ import annotations

import json
import sqlite3
import statistics
import tempfile
import time
import uuid
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from bench import results
from flows.services.prefect_api import MAIL_FLOW
from sandbox.local.campaign import registered

if TYPE_CHECKING:
    from collections.abc import Callable

COUNTS, RUNS = (0, 1_000, 10_000, 50_000), 10
DEPLOYMENT = f"{MAIL_FLOW}/{MAIL_FLOW}"
LEFT = json.dumps(
    {"frozen_at": "2026-01-05T12:00:00+00:00", "accepted": "re", "accepted_at": "2026-01-05T12:00:01+00:00"}
)


def fill(database: Path, count: int) -> None:
    """Have so many variables."""
    with closing(sqlite3.connect(database, timeout=60)) as known, known:
        there = known.execute("select count(*) from variable").fetchone()[0]
        at = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
        rows = [(str(uuid.uuid4()), at, at, f"mail-{number}", LEFT, "[]") for number in range(there, count)]
        known.executemany(
            "insert into variable (id, created, updated, name, value, tags) values (?, ?, ?, ?, ?, ?)", rows
        )


def taken(create: Callable[[str], object]) -> float:
    """Milliseconds of a run's creation, the median of some."""
    create(str(uuid.uuid4()))
    found = []
    for _ in range(RUNS):
        began = time.perf_counter()
        create(str(uuid.uuid4()))
        found.append((time.perf_counter() - began) * 1000)
    return statistics.median(found)


def measure(folder: Path) -> dict[str, dict[str, float]]:
    """By number of variables: how long it takes each way."""
    later, found = datetime.now(UTC) + timedelta(days=1), dict[str, dict[str, float]]()
    with registered(folder) as (api, prefect):
        (database,) = folder.rglob("prefect.db")
        identity, parameters = prefect.deployment(DEPLOYMENT), {"enrolment": {}, "step": 1}
        state = {"type": "SCHEDULED", "state_details": {"scheduled_time": later.isoformat()}}

        def asked(key: str) -> None:
            body = {"parameters": parameters, "idempotency_key": key, "state": state}
            api.post(f"/deployments/{identity}/create_flow_run", body)

        def written(key: str) -> None:
            prefect.start_once(DEPLOYMENT, parameters, key, due=later)

        for count in COUNTS:
            fill(database, count)
            found[str(count)] = {"asked": taken(asked), "written": taken(written)}
    return found


def table(found: dict[str, dict[str, float]]) -> results.Table:
    """By number of variables. Pure."""
    rows = [[f"{int(count):,}", f"{one['asked']:.0f} ms", f"{one['written']:.0f} ms"] for count, one in found.items()]
    return results.Table(["variables", "a run that the deployment is asked for", "a run as the flows write it"], rows)


def main() -> None:
    """Measure and write."""
    with tempfile.TemporaryDirectory(prefix="hublab-runs-") as folder:
        found = measure(Path(folder))
    results.write("run_creation", table(found), found)


if __name__ == "__main__":
    main()
