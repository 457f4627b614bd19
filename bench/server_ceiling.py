"""How many runs one process of Prefect's server creates a second: `python -m bench.server_ceiling [--runs 150]`.

A sandbox (root) with Prefect on PostgreSQL and no workers. A handler's runs are written as the webhooks write them, one
after the other, or by four clients at once; and asked of Prefect's own route for many (up to a hundred a request). The
ways take turns. CPU is what the server and PostgreSQL used until three seconds after the last, when what they do of
the runs' events is done too.
"""

from __future__ import annotations

import argparse
import contextvars
import os
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings

from bench import results
from bench.boxes import boot
from flows.campaigns.model import sequence
from flows.enrolment import handlers
from flows.services.prefect_api import Prefect
from sandbox.cgroup import Cgroup
from sandbox.local.processes import environment
from worker import process_stat

if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox import Sandbox

CLIENTS, A_REQUEST, ROUNDS, SETTLED = 4, 50, 3, 3.0
TICKS = os.sysconf("SC_CLK_TCK")
SIGNUP = sequence("christmas", "signup")


def written(runs: int) -> None:
    """One after the other."""
    with Prefect() as prefect:
        for _ in range(runs):
            handlers.start(prefect, SIGNUP, f"ceiling-{uuid.uuid4()}", {}, datetime.now(UTC).isoformat())


def at_once(runs: int) -> None:
    """By some clients, each its share."""
    with ThreadPoolExecutor(CLIENTS) as pool:
        shares = [pool.submit(contextvars.copy_context().run, written, runs // CLIENTS) for _ in range(CLIENTS)]
        for share in shares:
            share.result()


def asked(runs: int) -> None:
    """Many a request."""
    with Prefect() as prefect:
        path = f"/deployments/{prefect.deployment(f'{SIGNUP.handler}/{SIGNUP.handler}')}/create_flow_run/bulk"
        for _ in range(runs // A_REQUEST):
            keys = [f"ceiling-{uuid.uuid4()}" for _ in range(A_REQUEST)]
            body = [{"idempotency_key": key, "parameters": {"payload": {}}} for key in keys]
            made = prefect.client.request("POST", path, json=body).json()["results"]
            assert all(one["status"] == "CREATED" for one in made), made


WAYS: dict[str, Callable[[int], None]] = {
    "one after the other, as the webhooks do": written,
    f"by {CLIENTS} clients at once": at_once,
    f"{A_REQUEST} a request, by Prefect's route for many": asked,
}


def cpu(box: Sandbox) -> dict[str, float]:
    """CPU seconds so far of Prefect's server and of PostgreSQL."""
    found = {"server": 0.0, "PostgreSQL": 0.0}
    for process in Cgroup(f"{box.layout.cgroup}/server").processes():
        part = "PostgreSQL" if Path(f"/proc/{process}/comm").read_text() == "postgres\n" else "server"
        found[part] += sum(map(int, process_stat.fields(process)[11:15])) / TICKS
    return found


def measure(box: Sandbox, create: Callable[[int], None], runs: int) -> dict[str, float]:
    """Runs a second, and CPU milliseconds a run."""
    before, began = cpu(box), time.monotonic()
    create(runs)
    taken = time.monotonic() - began
    time.sleep(SETTLED)
    after = cpu(box)
    return {"runs a second": runs / taken} | {part: 1000 * (after[part] - before[part]) / runs for part in after}


def table(found: dict[str, list[dict[str, float]]]) -> results.Table:
    """The medians. Pure."""
    rows = []
    for way, rounds in found.items():
        middle = {what: statistics.median(one[what] for one in rounds) for what in rounds[0]}
        rows.append(
            [way, f"{middle['runs a second']:.0f}", f"{middle['server']:.0f} ms", f"{middle['PostgreSQL']:.0f} ms"]
        )
    return results.Table(["runs created", "a second", "CPU of Prefect's server, a run", "of PostgreSQL"], rows)


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=150)
    runs = parser.parse_args().runs
    found: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
    box = boot("ceiling")
    try:
        prefect = {"PREFECT_API_URL": box.api_url, "PREFECT_API_AUTH_STRING": box.auth}
        with tempfile.TemporaryDirectory(prefix="hublab-ceiling-") as name:
            register = [sys.executable, "-m", "flows.operator.register"]
            subprocess.run(register, env=environment(Path(name), **prefect), check=True)
        with temporary_settings({PREFECT_API_URL: box.api_url, PREFECT_API_AUTH_STRING: box.auth}):
            written(A_REQUEST)  # what a server learns once is learnt here
            for number in range(ROUNDS):
                for way in results.rotated(list(WAYS), number):
                    found[way].append(measure(box, WAYS[way], runs))
    finally:
        box.down()
    results.write("server_ceiling", table(found), found)


if __name__ == "__main__":
    main()
