"""How many webhooks a second the webhook app takes, and how fast: `python -m bench.flows_webhooks [--seconds 10]`.

A real app process on loopback, its spool on this disk (fsync for every 202), Prefect away: the worst case, in which
everything stays on disk. Prints one line.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

if TYPE_CHECKING:
    from collections.abc import Iterator

START_SECONDS, CLIENTS, OFFERED = 60, 8, 20
SERVE = """
import sys
from pathlib import Path
import uvicorn
from flows.services.settings import Settings
from flows.webhooks.app import build
given = {"webhook-secret": "s", "resend-webhook-secret": "whsec_dGVzdA==", "unsubscribe-secret": "u"}
app = build(Settings(given), Path(sys.argv[1]))
uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[2]), loop="asyncio", access_log=False, log_level="critical")
"""


@contextlib.contextmanager
def serving(folder: str) -> Iterator[tuple[str, int]]:
    """The app in a process of its own: its address and its pid."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    away = {"PREFECT_API_URL": "http://127.0.0.1:9/api", "PREFECT_HOME": folder, "PREFECT_LOGGING_LEVEL": "CRITICAL"}
    process = subprocess.Popen([sys.executable, "-c", SERVE, folder, str(port)], env=os.environ | away)
    try:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            with contextlib.suppress(httpx.HTTPError):
                httpx.get(f"http://127.0.0.1:{port}/health", trust_env=False)
                break
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}", process.pid
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def cpu(pid: int) -> float:
    """CPU seconds that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def load(url: str, seconds: float) -> list[float]:
    """Latencies, in seconds, of calls by some clients at once; each call a different address."""
    taken: list[float] = []
    end = time.monotonic() + seconds

    async def client(number: int, http: httpx.AsyncClient) -> None:
        count = 0
        while time.monotonic() < end:
            count += 1
            body = {"email": f"delivered+{number}-{count}@resend.dev", "first_name": "Ada", "assessment_score": 50}
            began = time.perf_counter()
            answer = await http.post("/webhook/christmas-signup", json=body)
            taken.append(time.perf_counter() - began)
            assert answer.status_code == httpx.codes.ACCEPTED, answer.text

    async with httpx.AsyncClient(base_url=url, headers={"x-webhook-secret": "s"}, trust_env=False) as http:
        await asyncio.gather(*(client(number, http) for number in range(CLIENTS)))
    return taken


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10)
    seconds = parser.parse_args().seconds
    with tempfile.TemporaryDirectory(prefix="hublab-bench-") as folder, serving(folder) as (url, pid):
        before = cpu(pid)
        taken = asyncio.run(load(url, seconds))
        spent = cpu(pid) - before
    cuts = statistics.quantiles(taken, n=100)
    rate = len(taken) / seconds
    print(f"webhooks: {rate:.0f}/s ({rate / OFFERED:.1f} x the {OFFERED}/s asked), each synced to disk; ", end="")
    print(f"latency p50 {cuts[49] * 1000:.1f} ms, p99 {cuts[98] * 1000:.1f} ms, {CLIENTS} clients; ", end="")
    print(
        f"{spent / len(taken) * 1000:.1f} CPU ms each, load average {os.getloadavg()[0]:.0f} on {os.cpu_count()} cores"
    )


if __name__ == "__main__":
    main()
