"""What starting a flow run costs: this project's worker against Prefect's own, in one run, as ratios of medians.

    python -m bench.worker_start [--runs 12] [--rounds 3]

Each variant gets the same short flow runs, put on its queue at one moment, four at a time, from one real Prefect server
(SQLite) on this machine, in rounds that alternate. A run to warm up is not counted. CPU is the worker's with all its
engines and its fork server, from /proc; Prefect's server's is not in it. The delay is from a run's state Pending, the
claim, to Running. Memory is what four waiting engines and the fork server take together (PSS), for one engine; its own
is what no other process shares.
"""

from __future__ import annotations

import argparse
import os
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, astuple, dataclass
from datetime import datetime
from pathlib import Path

from bench import results
from sandbox.local.processes import AUTH, Trial, environment, title
from sandbox.local.server import Api, prefect_server
from sandbox.server import POOL
from sandbox.waiting import wait_for
from worker import domain, process_stat
from worker.domain import Domain

CONCURRENCY = 4
TICKS = os.sysconf("SC_CLK_TCK")
STOCK = [str(Path(sys.executable).parent / "prefect"), "worker", "start", "--pool", POOL, "--limit", str(CONCURRENCY)]
LEAN = {"command": f"{sys.executable} -m prefect.engine", "stream_output": False}
VARIANTS = ("stock", "stock, lean command, polls as ours", "ours, spawned", "ours, forked")


@dataclass
class Cost:
    """Medians are taken of each field by itself."""

    runs_per_minute: float
    cpu_seconds: float
    delay_seconds: float
    megabytes: float
    own_megabytes: float


def children(pid: int) -> list[int]:
    """Its processes, but those of its processes' processes."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def cpu_seconds(pid: int) -> float:
    """CPU of the worker, of its processes, and of theirs that have ended."""
    spent = 0
    for process in (pid, *children(pid)):
        spent += sum(map(int, process_stat.fields(process)[11:15]))
    return spent / TICKS


def below(pid: int) -> list[int]:
    """All processes below the worker; a fork server if it has forked."""
    used = [child for child in children(pid) if "fork_server" not in title(child) or children(child)]
    return [*used, *(process for child in used for process in below(child))]


def megabytes(pid: int, *fields: str) -> float:
    """Memory of a process, as these fields of smaps_rollup have it together."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith(tuple(f"{field}:" for field in fields))) / 1024


def begin(variant: str, queue: str, env: dict[str, str]) -> subprocess.Popen[bytes]:
    """Start a worker."""
    more = {"HUBLAB_WORKER_NAME": queue, "HUBLAB_WORK_QUEUES": queue, "HUBLAB_CONCURRENCY": str(CONCURRENCY)}
    command = [sys.executable, "-m", "worker"]
    if "ours," not in variant:
        command = [*STOCK, "--work-queue", queue, "--name", queue]
        more = {"PREFECT_WORKER_QUERY_SECONDS": "2"} if "polls" in variant else {}
    return subprocess.Popen(command, env={**env, **more}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def put(api: Api, variant: str, queue: str, trial: Trial) -> str:
    """One short run."""
    lean = "lean" in variant or "spawned" in variant
    return api.start_with(LEAN if lean else {}, "until", queue, **trial.files)


def delay(api: Api, run: str) -> float:
    """Seconds from the claim to Running."""
    at = {
        state["type"]: datetime.fromisoformat(state["timestamp"])
        for state in api.get(f"/flow_run_states/?flow_run_id={run}")
    }
    return (at["RUNNING"] - at["PENDING"]).total_seconds()


def measure(api: Api, variant: str, runs: int, home: Path) -> Cost:
    """Run a worker of this kind once."""
    queue = f"q{time.monotonic_ns()}"
    (marks := home / "marks").mkdir(exist_ok=True)
    (temporary := home / "tmp").mkdir(exist_ok=True)
    env = environment(home, PREFECT_API_URL=f"http://127.0.0.1:{api.port}/api", PREFECT_API_AUTH_STRING=AUTH)
    env |= {"HUBLAB_WRITE_PATHS": str(marks), "TMPDIR": str(temporary)}
    worker, waiting, short = begin(variant, queue, env), Trial(marks), Trial(marks)
    short.let_end()
    try:
        wait_for(lambda: any(w["name"] == queue for w in api.workers()), f"{variant} is online")
        warm = [put(api, variant, queue, waiting) for _ in range(CONCURRENCY)]
        waiting.begun(CONCURRENCY)
        used = below(worker.pid)
        memory = sum(megabytes(process, "Pss") for process in used) / CONCURRENCY
        own = sum(megabytes(process, "Private_Clean", "Private_Dirty") for process in used if not children(process))
        waiting.let_end()
        assert {api.wait_state(run, "COMPLETED", "CRASHED", "FAILED") for run in warm} == {"COMPLETED"}
        time.sleep(3)  # the engines' end is seen to
        began, cpu = time.monotonic(), cpu_seconds(worker.pid)
        flow_runs = [put(api, variant, queue, short) for _ in range(runs)]
        wait_for(lambda: all(api.state(run) == "COMPLETED" for run in flow_runs), "all completed", limit=600)
        seconds = time.monotonic() - began
        time.sleep(3)
        spent = (cpu_seconds(worker.pid) - cpu) / runs
        return Cost(
            runs / seconds * 60,
            spent,
            statistics.median(delay(api, run) for run in flow_runs),
            memory,
            own / CONCURRENCY,
        )
    finally:
        waiting.let_end()
        worker.kill()
        worker.wait()


def domain_milliseconds(home: Path, times: int = 50) -> float:
    """CPU that entering its domain costs one run, in a process that has just been forked."""
    (own := home / "runs" / "one").mkdir(parents=True)
    held = Domain(writable=[str(own), str(home)], readable=[str(own)], hidden=str(own.parent), listen=False)
    read, write = os.pipe()
    for _ in range(times):
        if not (pid := os.fork()):
            began = time.process_time()
            domain.enter(held)
            os.write(write, struct.pack("d", time.process_time() - began))
            os._exit(0)
        os.waitpid(pid, 0)
    spent = [struct.unpack("d", os.read(read, 8))[0] for _ in range(times)]
    return float(statistics.median(spent)) * 1000


def table(medians: dict[str, Cost]) -> results.Table:
    """The medians, each with its ratio to Prefect's own worker as it is installed."""
    stock = medians["stock"]
    fields = {
        "runs_per_minute": "runs a minute",
        "cpu_seconds": "CPU a run, s",
        "delay_seconds": "from the claim to Running, s",
        "megabytes": "memory an engine, MB",
        "own_megabytes": "of it its own, MB",
    }
    rows = [
        [
            what,
            *(
                f"{getattr(one, name):.2f}, {getattr(one, name) / getattr(stock, name):.2f} ×"
                for one in medians.values()
            ),
        ]
        for name, what in fields.items()
    ]
    return results.Table([f"{CONCURRENCY} runs at a time", *medians], rows)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    costs: dict[str, list[Cost]] = {variant: [] for variant in VARIANTS}
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        print(f"entering a domain: {domain_milliseconds(home):.2f} ms of CPU a run (median of 50)")
        with prefect_server(home) as port:
            api = Api(port, "bench.until")
            for number in range(options.rounds):
                for variant in results.rotated(VARIANTS, number):
                    costs[variant].append(measure(api, variant, options.runs, home))
                    print(f"round {number + 1}, {variant}: {costs[variant][-1]}", file=sys.stderr)
    medians = {v: Cost(*map(statistics.median, zip(*map(astuple, r), strict=True))) for v, r in costs.items()}
    raw = {variant: [asdict(cost) for cost in each] for variant, each in costs.items()}
    results.write("worker_start", table(medians), raw)


if __name__ == "__main__":
    main()
