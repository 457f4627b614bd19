"""How soon and how often runs start, and what waiting costs: `python -m bench.starts [--runs 60] [--alone 15]`.

Root: a sandbox's Prefect server on PostgreSQL (with SQLite, runs wait for its one writer) and three workers of four
places on this machine. First nothing is to do for a minute: requests a second and worker, counted on the wire, and the
server's CPU. Then runs come one at a time at odd moments, due at once; then many together of a flow that prints a line,
all of them there before the first begins. CPU is from /proc, times are from the runs' own states.
"""

from __future__ import annotations

import argparse
import random
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import results
from bench.boxes import boot
from bench.worker_start import CONCURRENCY, cpu_seconds, delay
from sandbox.cgroup import Cgroup
from sandbox.local.processes import Trial, environment, title
from sandbox.local.proxy import Proxy
from sandbox.local.server import Api
from sandbox.server import PORT
from sandbox.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox import Sandbox

WORKERS, QUEUE = 3, "starts"
EAGER_SECONDS, IDLE_SECONDS = 75.0, 60.0
"""A worker polls each second in its first minute."""


@contextmanager
def begin(number: int, port: int, auth: str, home: Path) -> Iterator[subprocess.Popen[bytes]]:
    """One worker, until the end."""
    (own := home / f"worker-{number}").mkdir()
    (own / "tmp").mkdir()
    env = environment(own, PREFECT_API_URL=f"http://127.0.0.1:{port}/api", PREFECT_API_AUTH_STRING=auth)
    env |= {"HUBLAB_WORKER_NAME": f"starts-{number}", "HUBLAB_WORK_QUEUES": QUEUE, "TMPDIR": str(own / "tmp")}
    env |= {"HUBLAB_CONCURRENCY": str(CONCURRENCY), "HUBLAB_WRITE_PATHS": str(home / "marks")}
    command = [sys.executable, "-m", "worker"]
    process = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def idle(server: int, proxy: Proxy) -> tuple[float, float]:
    """Requests a second and worker, and the share of a core that the server takes."""
    time.sleep(EAGER_SECONDS)
    asked, cpu, began = len(proxy.asked), cpu_seconds(server), time.monotonic()
    time.sleep(IDLE_SECONDS)
    seconds = time.monotonic() - began
    return (len(proxy.asked) - asked) / seconds / WORKERS, (cpu_seconds(server) - cpu) / seconds


def waited(api: Api, run: str) -> float:
    """Seconds from the run's creation, due at once, to Running."""
    at = {state["type"]: state["timestamp"] for state in api.get(f"/flow_run_states/?flow_run_id={run}")}
    return (datetime.fromisoformat(at["RUNNING"]) - datetime.fromisoformat(at["SCHEDULED"])).total_seconds()


def process(box: Sandbox) -> int:
    """Prefect's server, by its number on this machine."""
    found = Cgroup(f"{box.layout.cgroup}/server").processes()
    return next(pid for pid in found if "prefect server start" in title(pid))


def measure(api: Api, server: int, proxy: Proxy, marks: Path, asked: argparse.Namespace) -> dict[str, Any]:
    """All figures, with the workers there."""
    requests, share = idle(server, proxy)
    (trial := Trial(marks)).let_end()
    runs = []
    for _ in range(asked.alone):
        time.sleep(random.uniform(2.0, 4.0))  # noqa: S311 - at odd moments
        runs.append(api.start("until", QUEUE, **trial.files))
        assert api.wait_state(runs[-1], "COMPLETED", "CRASHED", "FAILED") == "COMPLETED"
    many, began = api.start_many(asked.runs, "trivial", QUEUE), time.monotonic()
    # One look for all: each takes CPU time of the server.
    ended = {"flow_runs": {"id": {"any_": many}, "state": {"type": {"any_": ["COMPLETED"]}}}}
    wait_for(lambda: api.post("/flow_runs/count", ended) == len(many), "all completed", limit=600, every=0.5)
    return {
        "requests": requests,
        "share": share,
        "waited": [waited(api, run) for run in runs],
        "delays": [delay(api, run) for run in runs],
        "a_minute": len(many) / (time.monotonic() - began) * 60,
    }


def table(found: dict[str, Any]) -> results.Table:
    """The figures. Pure."""
    rows = [
        ["nothing to do: requests to Prefect, a second and worker", f"{found['requests']:.2f}"],
        [
            "nothing to do: the server's CPU, of one core",
            f"{found['share']:.1%} ({found['without']:.1%} without workers)",
        ],
        ["from due at once to Running, a run alone", f"median {statistics.median(found['waited']):.2f} s"],
        ["of it from the claim to Running", f"median {statistics.median(found['delays']):.2f} s"],
        ["trivial runs a minute, the server beside", f"{found['a_minute']:.0f}"],
    ]
    return results.Table([f"{WORKERS} workers of {CONCURRENCY} places", "found"], rows)


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=60)
    parser.add_argument("--alone", type=int, default=15)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        (marks := Path(folder) / "marks").mkdir()
        box = boot("starts")
        stack.callback(box.down)
        direct, proxy = Proxy(PORT, box.server.address), Proxy(PORT, box.server.address)
        stack.callback(direct.close)
        stack.callback(proxy.close)
        api, server = Api(direct.port, "bench.until", box.auth), process(box)
        _, without = idle(server, proxy)
        for number in range(WORKERS):
            stack.enter_context(begin(number, proxy.port, box.auth, Path(folder)))
        wait_for(lambda: len(api.workers()) == WORKERS, "all workers are online")
        found = measure(api, server, proxy, marks, asked) | {"without": without}
    results.write("starts", table(found), found)


if __name__ == "__main__":
    main()
