"""Webhooks while Prefect is away, in real time: `python -m bench.flows_away [--seconds 300] [--rate 20]`.

Root, on Debian: it boots a sandbox for Prefect's server, on PostgreSQL, and stops the server meanwhile. The webhook
service is as it is deployed; signups come at a steady rate, every tenth of them twice. Then the server is started
again; when the spool is empty, the runs are counted. Exits with 1 when a webhook was not accepted, or an enrolment is
not there exactly once.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from bench.boxes import boot
from flows.campaigns.model import sequence
from sandbox.local.processes import environment, free_port
from sandbox.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox import Sandbox

SECRETS = {"webhook-secret": "s", "resend-webhook-secret": "whsec_dGVzdA==", "unsubscribe-secret": "u"}
TWICE, LONGEST, PAGE = 10, 1800.0, 200


def address(number: int) -> str:
    """A different one for each number."""
    return f"delivered+away{number}@resend.dev"


@contextmanager
def service(folder: Path, prefect: dict[str, str]) -> Iterator[str]:
    """The webhook service, with these settings of Prefect's; its URL."""
    port, secrets = free_port(), folder / "webhooks.json"
    secrets.write_text(json.dumps(SECRETS))
    where = ["--port", str(port), "--spool", str(folder / "spool"), "--secrets", str(secrets)]
    with (folder / "service.log").open("wb") as log:
        command = [sys.executable, "-m", "flows.webhooks.service", *where]
        process = subprocess.Popen(command, env=environment(folder, **prefect), stdout=log, stderr=log)
    try:
        url = f"http://127.0.0.1:{port}"
        wait_for(lambda: answers(url), "the webhooks answer")
        yield url
    finally:
        process.terminate()
        process.wait(60)


def answers(url: str) -> bool:
    """Whether it serves."""
    try:
        return httpx.get(f"{url}/health", trust_env=False).is_success
    except httpx.TransportError:
        return False


def waiting(url: str) -> int:
    """How many enrolments are in its spool."""
    return int(httpx.get(f"{url}/health", trust_env=False, timeout=60).json()["enrolments"]["waiting"])


async def offer(url: str, seconds: float, rate: float) -> tuple[int, list[int], list[float]]:
    """Signups at that rate; how many addresses, the status of each post, and how long each took in seconds."""
    statuses, taken, total = list[int](), list[float](), int(seconds * rate)
    async with httpx.AsyncClient(base_url=url, headers={"x-webhook-secret": "s"}, trust_env=False, timeout=60) as http:

        async def post(number: int) -> None:
            body = {"email": address(number), "first_name": "Ada", "assessment_score": 50}
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
    found, wanted = 0, {sequence("christmas", "signup").key(address(number)) for number in range(total)}
    body = {"flows": {"name": {"any_": ["christmas-signup-handler"]}}, "limit": PAGE, "sort": "ID_DESC"}
    offsets = count(0, PAGE)
    with box.api() as api:
        while page := api.post("/flow_runs/filter", json=body | {"offset": next(offsets)}).raise_for_status().json():
            found += sum(1 if run["idempotency_key"] in wanted else -1 for run in page)
    return found


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
        url = stack.enter_context(service(folder, prefect))
        with away(box):
            total, statuses, taken = asyncio.run(offer(url, asked.seconds, asked.rate))
        back, refused = time.monotonic(), sum(status != httpx.codes.ACCEPTED for status in statuses)
        wait_for(lambda: waiting(url) == 0, "the spool is empty", LONGEST)
        drained, runs = time.monotonic() - back, enrolled(box, total)
    cuts = statistics.quantiles(taken, n=100)
    print(f"Prefect away for {asked.seconds:.0f} s, {asked.rate:.0f} signups a second, every tenth twice: ", end="")
    print(
        f"{len(statuses)} webhooks, {refused} not accepted, p50 {cuts[49] * 1000:.0f} ms, p99 {cuts[98] * 1000:.0f} ms"
    )
    print(f"then {runs} of {total} enrolled once each, {drained:.0f} s after its return; ", end="")
    print(f"load average {os.getloadavg()[0]:.0f} on {os.cpu_count()} cores")
    return int(refused > 0 or runs != total)


if __name__ == "__main__":
    sys.exit(main())
