"""How many webhooks a second the webhook app takes, and how fast: `python -m bench.flows_webhooks [--seconds 10]`.

A real app process on loopback, its spool on this disk (fsync for every 202), Prefect away: the worst case, in which
everything stays on disk.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from bench import results
from sandbox.campaign.contacts import PAYLOADS, address
from sandbox.webhooks import serving

if TYPE_CHECKING:
    from sandbox.webhooks import Service

CLIENTS, OFFERED = 8, 20
AWAY = {"PREFECT_API_URL": "http://127.0.0.1:9/api", "PREFECT_LOGGING_LEVEL": "CRITICAL"}


def cpu(pid: int) -> float:
    """CPU seconds that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def load(service: Service, seconds: float) -> list[float]:
    """Latencies, in seconds, of calls by some clients at once; each call a different address."""
    taken: list[float] = []
    end = time.monotonic() + seconds

    async def client(number: int, http: httpx.AsyncClient) -> None:
        count = 0
        while time.monotonic() < end:
            count += 1
            body = PAYLOADS["signup"] | {"email": address(f"{number}-{count}")}
            began = time.perf_counter()
            answer = await http.post("/webhook/christmas-signup", json=body)
            taken.append(time.perf_counter() - began)
            assert answer.status_code == httpx.codes.ACCEPTED, answer.text

    async with service.client() as http:
        await asyncio.gather(*(client(number, http) for number in range(CLIENTS)))
    return taken


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10)
    seconds = parser.parse_args().seconds
    with tempfile.TemporaryDirectory(prefix="hublab-bench-") as folder, serving(Path(folder), **AWAY) as service:
        before = cpu(service.pid)
        taken = asyncio.run(load(service, seconds))
        spent = cpu(service.pid) - before
    cuts = statistics.quantiles(taken, n=100)
    found = {
        "a second": len(taken) / seconds,
        "p50 ms": cuts[49] * 1000,
        "p99 ms": cuts[98] * 1000,
        "CPU ms each": spent / len(taken) * 1000,
    }
    told = f"{found['a second']:.0f} a second ({OFFERED} are asked), p50 {found['p50 ms']:.0f} ms, "
    told += f"p99 {found['p99 ms']:.0f} ms, {found['CPU ms each']:.1f} CPU ms each"
    row = [f"webhooks, Prefect away, each synced to disk, {CLIENTS} clients", told]
    results.write("flows_webhooks", results.Table(["what", "found"], [row]), found)


if __name__ == "__main__":
    main()
