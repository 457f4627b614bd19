"""Webhooks while Prefect is away, in real time: `python -m bench.flows_away [--seconds 300] [--rate 20]`.

The webhook service as it is deployed, a real Prefect server (SQLite) behind a proxy that refuses every connection
meanwhile, signups at a steady rate, every tenth of them sent twice. Then Prefect is back; it counts the runs when the
spool is empty. Exits with 1 when a webhook was not accepted, or an enrolment is not there exactly once.
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
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from flows.campaign import sequence
from tests.worker.proxy import Proxy
from tests.worker.server import Api, prefect_server
from tests.worker.world import AUTH, POOL, environment, free_port, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

SECRETS = {"webhook-secret": "s", "resend-webhook-secret": "whsec_dGVzdA==", "unsubscribe-secret": "u"}
TWICE, LONGEST = 10, 1800.0


def address(number: int) -> str:
    """A different one for each number."""
    return f"delivered+away{number}@resend.dev"


@contextmanager
def service(folder: Path, api: int) -> Iterator[str]:
    """The webhook service, with Prefect's API on that port; its URL."""
    port, secrets = free_port(), folder / "webhooks.json"
    secrets.write_text(json.dumps(SECRETS))
    where = ["--port", str(port), "--spool", str(folder / "spool"), "--secrets", str(secrets)]
    more = {"PREFECT_API_URL": f"http://127.0.0.1:{api}/api", "PREFECT_API_AUTH_STRING": AUTH}
    with (folder / "service.log").open("wb") as log:
        command = [sys.executable, "-m", "flows.webhook_service", *where]
        process = subprocess.Popen(command, env=environment(folder, **more), stdout=log, stderr=log)
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


def enrolled(api: Api, total: int) -> int:
    """How many of the addresses have their run; every other run of a handler counts against it."""
    found, wanted = 0, {sequence("christmas", "signup").key(address(number)) for number in range(total)}
    query = {"flows": {"name": {"any_": ["christmas-signup-handler"]}}, "limit": 200, "offset": 0, "sort": "ID_DESC"}
    while page := api.post("/flow_runs/filter", query):
        found += sum(1 if run["idempotency_key"] in wanted else -1 for run in page)
        query["offset"] = int(str(query["offset"])) + 200
    return found


def main() -> int:
    """Offer, wait, count."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--rate", type=float, default=20)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="hublab-away-") as name, ExitStack() as stack:
        folder = Path(name)
        port = stack.enter_context(prefect_server(folder))
        api, proxy = Api(port), Proxy(port)
        stack.callback(proxy.close)
        api.post("/work_pools/", {"name": POOL, "type": "process"})
        told = {"PREFECT_API_URL": f"http://127.0.0.1:{port}/api", "PREFECT_API_AUTH_STRING": AUTH}
        subprocess.run([sys.executable, "-m", "flows.register"], env=environment(folder, **told), check=True)
        url = stack.enter_context(service(folder, proxy.port))
        with proxy.misbehaving("refuse"):
            total, statuses, taken = asyncio.run(offer(url, asked.seconds, asked.rate))
        back, refused = time.monotonic(), sum(status != httpx.codes.ACCEPTED for status in statuses)
        wait_for(lambda: waiting(url) == 0, "the spool is empty", LONGEST)
        drained, runs = time.monotonic() - back, enrolled(api, total)
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
