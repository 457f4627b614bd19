"""What starting a flow run costs: this project's worker against Prefect's own, in one run, as ratios of medians.

    python -m bench.worker_start [--runs 12] [--rounds 3]

Each variant gets the same short flow runs, put on its queue at one moment, four at a time, from one real Prefect server
(SQLite) on this machine, in rounds that alternate. A run to warm up is not counted. CPU is the worker's with all its
engines, from /proc; the server's is not in it.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.worker.server import Api, prefect_server
from tests.worker.world import AUTH, POOL, environment, wait_for

CONCURRENCY = 4
TICKS = os.sysconf("SC_CLK_TCK")
STOCK = [str(Path(sys.executable).parent / "prefect"), "worker", "start", "--pool", POOL, "--limit", str(CONCURRENCY)]
LEAN = {"command": f"{sys.executable} -m prefect.engine", "stream_output": False}
VARIANTS = ("stock", "stock, lean command, polls as ours", "ours")


def cpu_seconds(pid: int) -> float:
    """CPU of the process and of its children that have ended."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / TICKS


def begin(variant: str, queue: str, env: dict[str, str]) -> subprocess.Popen[bytes]:
    """Start a worker."""
    more = {"HUBLAB_WORKER_NAME": queue, "HUBLAB_WORK_QUEUES": queue, "HUBLAB_CONCURRENCY": str(CONCURRENCY)}
    command = [sys.executable, "-m", "worker"]
    if variant != "ours":
        command = [*STOCK, "--work-queue", queue, "--name", queue]
        more = {"PREFECT_WORKER_QUERY_SECONDS": "5"} if "polls" in variant else {}
    return subprocess.Popen(command, env={**env, **more}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def put(api: Api, variant: str, queue: str, home: Path) -> str:
    """One short run."""
    deployment = api.deploy("trial_flows.until", "until")
    body = {
        "work_queue_name": queue,
        "parameters": {"mark": str(home / "mark"), "gate": str(home)},
        "state": {"type": "SCHEDULED"},
        "job_variables": LEAN if "lean" in variant else {},
    }
    return str(api.post(f"/deployments/{deployment}/create_flow_run", body)["id"])


def measure(api: Api, variant: str, runs: int, home: Path) -> tuple[float, float]:
    """Runs per minute, and CPU seconds per run."""
    queue = f"q{time.monotonic_ns()}"
    env = environment(home, PREFECT_API_URL=f"http://127.0.0.1:{api.port}/api", PREFECT_API_AUTH_STRING=AUTH)
    warm = None
    worker = begin(variant, queue, env)
    try:
        wait_for(lambda: any(w["name"] == queue for w in api.workers()), f"{variant} is online")
        warm = put(api, variant, queue, home)
        assert api.wait_state(warm, "COMPLETED", "CRASHED", "FAILED") == "COMPLETED"
        time.sleep(3)  # the engine's end is seen to
        began, cpu = time.monotonic(), cpu_seconds(worker.pid)
        flow_runs = [put(api, variant, queue, home) for _ in range(runs)]
        wait_for(lambda: all(api.state(run) == "COMPLETED" for run in flow_runs), "all completed", limit=600)
        seconds = time.monotonic() - began
        time.sleep(3)
        return runs / seconds * 60, (cpu_seconds(worker.pid) - cpu) / runs
    finally:
        worker.kill()
        worker.wait()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    results: dict[str, list[tuple[float, float]]] = {variant: [] for variant in VARIANTS}
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        with prefect_server(home) as port:
            api = Api(port)
            for number in range(options.rounds):
                for variant in VARIANTS:
                    results[variant].append(measure(api, variant, options.runs, home))
                    print(f"round {number + 1}, {variant}: {results[variant][-1]}", file=sys.stderr)
    medians = {v: [round(statistics.median(column), 2) for column in zip(*r, strict=True)] for v, r in results.items()}
    stock = medians["stock"]
    for variant, (rate, cpu) in medians.items():
        print(
            f"{variant:36} {rate:6.1f} runs/min ({rate / stock[0]:.2f}×)  {cpu:5.2f} CPU s/run ({cpu / stock[1]:.2f}×)"
        )
    print(json.dumps({"load": os.getloadavg(), "cores": os.cpu_count(), "raw": results}))


if __name__ == "__main__":
    main()
