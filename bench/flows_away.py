"""Webhooks while Prefect is away, in real time: `python -m bench.flows_away [--seconds 300] [--rate 20]`.

Root, on Debian: it boots a sandbox for Prefect's server, on PostgreSQL, and stops the server meanwhile. The webhook
service is as it is deployed; signups come at a steady rate, every tenth of them twice. Then the server is started
again; when the spool is empty, the runs are counted. Exits with 1 when a webhook was not accepted, or an enrolment is
not there exactly once.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from bench import results
from bench.boxes import boot
from flows.campaigns.model import sequence
from sandbox import runs
from sandbox.campaign.contacts import PAYLOADS, address
from sandbox.local.processes import environment
from sandbox.waiting import wait_for
from sandbox.webhooks import serving

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox import Sandbox
    from sandbox.webhooks import Service

TWICE, LONGEST = 10, 1800.0


async def offer(service: Service, seconds: float, rate: float) -> tuple[int, list[int], list[float]]:
    """Signups at that rate; how many addresses, the status of each post, and how long each took in seconds."""
    statuses, taken, total = list[int](), list[float](), int(seconds * rate)
    async with service.client() as http:

        async def post(number: int) -> None:
            body = PAYLOADS["signup"] | {"email": address(f"away{number}")}
            for _ in range(2 if number % TWICE == 0 else 1):
                began = time.perf_counter()
                statuses.append((await http.post("/webhook/christmas-signup", json=body)).status_code)
                taken.append(time.perf_counter() - began)

        began = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for number in range(total):
                await asyncio.sleep(max(0.0, began + number / rate - time.monotonic()))
                group.create_task(post(number))
    return total, statuses, taken


@contextmanager
def away(box: Sandbox) -> Iterator[None]:
    """Prefect's server is stopped meanwhile; it answers again when this returns."""
    box.stop_api()
    yield
    box.start_api()


def enrolled(box: Sandbox, total: int) -> int:
    """How many of the addresses have their run; every other run of a handler counts against it."""
    wanted = {sequence("christmas", "signup").key(address(f"away{number}")) for number in range(total)}
    with box.api() as api:
        found = runs.pages(api, "/flow_runs/filter", {"flows": {"name": {"any_": ["christmas-signup-handler"]}}})
        return sum(1 if run["idempotency_key"] in wanted else -1 for run in found)


def main() -> int:
    """Offer, wait, count."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--rate", type=float, default=20)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="hublab-away-") as name, ExitStack() as stack:
        folder = Path(name)
        box = boot("away")
        stack.callback(box.down)
        prefect = {"PREFECT_API_URL": box.api_url, "PREFECT_API_AUTH_STRING": box.auth}
        subprocess.run(
            [sys.executable, "-m", "flows.operator.register"], env=environment(folder, **prefect), check=True
        )
        service = stack.enter_context(serving(folder, **prefect))
        with away(box):
            total, statuses, taken = asyncio.run(offer(service, asked.seconds, asked.rate))
        back, refused = time.monotonic(), sum(status != httpx.codes.ACCEPTED for status in statuses)
        wait_for(lambda: service.health()["enrolments"]["waiting"] == 0, "the spool is empty", LONGEST)
        drained, found = time.monotonic() - back, enrolled(box, total)
    cuts = [cut * 1000 for cut in statistics.quantiles(taken, n=100)]
    row = [
        f"Prefect's server away for {asked.seconds:.0f} s, {asked.rate:g} signups a second, every tenth twice",
        (
            f"{len(statuses)} webhooks, {refused} not accepted, p50 {cuts[49]:.0f} ms, p99 {cuts[98]:.0f} ms; "
            f"then {found} of {total} enrolled, each once, {drained:.0f} s after its return"
        ),
    ]
    raw = {"webhooks": len(statuses), "refused": refused, "p50 ms": cuts[49], "p99 ms": cuts[98]}
    raw |= {"offered": total, "enrolled": found, "seconds": drained}
    results.write("flows_away", results.Table(["what", "found"], [row]), raw)
    return int(refused > 0 or found != total)


if __name__ == "__main__":
    sys.exit(main())
