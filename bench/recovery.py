"""How soon work goes on after a fault, on a sandbox's hosts: `python -m bench.recovery [--only NAME,NAME]`.

Two hosts with two workers of two places each, before a Prefect server on PostgreSQL. One run is in flight, or all
places are taken, and then something is struck. What is not measured this time keeps its figure.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import httpx

from bench import results
from bench.boxes import boot
from bench.scale import roll
from sandbox import runs
from sandbox.campaign.strikes import DATABASE_UNITS
from sandbox.past import FLOWS
from sandbox.server import await_ready
from sandbox.waiting import wait_for
from worker.recovery import TAG

if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox import Machine, Sandbox

NAME = "recovery"
HOSTS, WORKERS, PLACES = 2, 2, 2
ALL_PLACES = HOSTS * WORKERS * PLACES
LIMIT_SECONDS = 900.0
GATED = """
import time
from pathlib import Path
from prefect import flow

@flow
def gated(gate):
    while not Path(gate).exists():
        time.sleep(0.2)
"""


@dataclass(frozen=True)
class Figure:
    """What was struck, seconds until work went on, and how long that may take."""

    fault: str
    seconds: float
    most: str

    def cells(self) -> list[str]:
        """Its row in the table."""
        when = f"{datetime.now(UTC):%Y-%m-%d}, load {os.getloadavg()[0]:.0f}"
        return [self.fault, self.most, f"{self.seconds:.0f} s ({when})"]


type Measure = Callable[[Bench], Figure]


class Bench:
    """The sandbox, and runs whose end is in the hand of this program."""

    def __init__(self, sandbox: Sandbox, api: httpx.Client) -> None:
        """Everything is deployed."""
        self.sandbox, self.api, self._gates = sandbox, api, 0
        for host in sandbox.hosts:
            host.put(f"{FLOWS}/gated.py", GATED)
        self._deployment = runs.register(api, "gated.py:gated", directory=str(FLOWS))

    def gate(self) -> str:
        """A new gate, closed."""
        self._gates += 1
        return f"{FLOWS}/gate-{time.time():.0f}-{self._gates}"

    def open(self, gate: str) -> None:
        """The runs behind it end."""
        for host in self.sandbox.hosts:
            host.put(gate, "")

    def run(self, gate: str, *tags: str, after: timedelta = timedelta(0)) -> str:
        """A run behind a gate."""
        return runs.start(self.api, self._deployment, {"gate": gate}, tags=tags, after=after)

    def until(self, done: Callable[[], bool], since: float) -> float:
        """Seconds from `since` until it is so; an API that is away is asked again."""
        wait_for(lambda: self._is_so(done), "it goes on", LIMIT_SECONDS, every=0.25)
        return time.monotonic() - since

    def _is_so(self, done: Callable[[], bool]) -> bool:
        try:
            return done()
        except (httpx.HTTPError, ValueError, LookupError):
            return False

    def runs_again(self, run: str) -> bool:
        """Whether it has been begun a second time."""
        found = self.api.get(f"/flow_runs/{run}").raise_for_status().json()
        return bool(found["run_count"] > 1 and found["state"]["type"] == "RUNNING")

    def running(self, those: list[str]) -> int:
        """How many of them run."""
        wanted = {"flow_runs": {"id": {"any_": those}, "state": {"type": {"any_": ["RUNNING"]}}}}
        return int(self.api.post("/flow_runs/count", json=wanted).raise_for_status().json())

    def in_flight(self) -> tuple[str, str, Machine, str]:
        """A run, its gate, its host and its worker's unit."""
        gate = self.gate()
        run = self.run(gate, TAG)
        self.until(lambda: self.running([run]) == 1, time.monotonic())
        worker = str(self.api.get(f"/flow_runs/{run}").json()["labels"]["prefect.worker.name"])
        host, _, number = worker.rpartition("-")
        return run, gate, self.sandbox.machine(host), f"prefect-worker@{number}"

    def again(self, run: str, gate: str, since: float) -> float:
        """Seconds until the run goes on; it ends then."""
        took = self.until(lambda: self.runs_again(run), since)
        self.open(gate)
        self.until(lambda: runs.state(self.api, run).type == "COMPLETED", time.monotonic())
        return took


def worker(bench: Bench) -> Figure:
    """A worker is killed with its engines."""
    run, gate, host, unit = bench.in_flight()
    host.ssh(f"systemctl kill --signal=KILL --kill-whom=all {unit}")
    most = "15 s: 5 s of systemd's, and the worker's imports"
    return Figure("a worker is killed with its engines", bench.again(run, gate, time.monotonic()), most)


def power(bench: Bench) -> Figure:
    """The host's power is cut and is back at once; counted from the end of its boot."""
    run, gate, host, _ = bench.in_flight()
    host.kill()
    host.boot()
    return Figure("a power cut", bench.again(run, gate, time.monotonic()), "30 s after the boot")


def gone(bench: Bench) -> Figure:
    """The host never returns; another goes on."""
    run, gate, host, _ = bench.in_flight()
    host.kill()
    took = bench.until(lambda: bench.runs_again(run), time.monotonic())
    host.boot()
    bench.again(run, gate, time.monotonic())
    return Figure("a host that never returns", took, "four minutes: 90 s to be gone, two looks a minute apart")


def claim(bench: Bench) -> Figure:
    """A claim that names nobody."""
    gate = bench.gate()
    run = bench.run(gate, after=timedelta(hours=1))
    runs.force(bench.api, run, "PENDING", "Pending")
    took = bench.until(lambda: bench.running([run]) == 1, time.monotonic())
    bench.open(gate)
    return Figure("a claim that names nobody", took, "a minute")


def away(what: str, down: str, up: str, seconds: float) -> Measure:
    """Prefect is away while every place is taken; the runs end meanwhile, and others wait for their places."""

    def measure(bench: Bench) -> Figure:
        first, then = bench.gate(), bench.gate()
        taken = [bench.run(first) for _ in range(ALL_PLACES)]
        bench.until(lambda: bench.running(taken) == ALL_PLACES, time.monotonic())
        waiting = [bench.run(then) for _ in range(ALL_PLACES)]
        began = time.monotonic()
        bench.sandbox.server.ssh(down)
        time.sleep(max(0.0, seconds / 2 - (time.monotonic() - began)))
        bench.open(first)
        time.sleep(max(0.0, seconds - (time.monotonic() - began)))
        bench.sandbox.server.ssh(up)
        await_ready(bench.sandbox.server, bench.sandbox.auth)
        bench.until(lambda: bench.api.get("/ready").is_success, time.monotonic())
        took = bench.until(lambda: bench.running(waiting) == ALL_PLACES, time.monotonic())
        bench.open(then)
        return Figure(f"{what} back after {_lasting(seconds)}", took, "30 s, until every place is at work")

    return measure


def _lasting(seconds: float) -> str:
    return f"{seconds:g} s" if seconds < 60 else f"{seconds / 60:g} min"  # noqa: PLR2004


# Stopped as well, so that it does not start again by itself; the database does not anyway.
KILL_SERVER = "systemctl kill --signal=KILL --kill-whom=all prefect-server; systemctl stop prefect-server"
START_SERVER = "systemctl start prefect-server"
KILL_DATABASE = f"{DATABASE_UNITS}; systemctl kill --signal=KILL --kill-whom=all $units"
START_DATABASE = f"systemctl reset-failed; {DATABASE_UNITS}; systemctl start $units prefect-server"


def cases(outages: list[float]) -> dict[str, list[Measure]]:
    """What is measured, by the name that the command line has for it."""
    return {
        "worker": [worker],
        "power": [power],
        "gone": [gone],
        "claim": [claim],
        "server": [away("Prefect's server", KILL_SERVER, START_SERVER, seconds) for seconds in outages],
        "database": [away("PostgreSQL", KILL_DATABASE, START_DATABASE, seconds) for seconds in outages],
    }


def keep(figure: Figure) -> None:
    """Put a figure into the table, beside those of other faults."""
    rows = {row[0]: row for row in results.raw(NAME) or []} | {figure.fault: figure.cells()}
    found = list(rows.values())
    results.write(NAME, results.Table(["from", "to the run going on, at the most", "measured"], found), found)


def main() -> int:
    """Boot, measure, take down."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="worker,power,gone,claim,server,database")
    parser.add_argument("--outages", default="1,10,60,300", help="seconds that server and database are away")
    asked = parser.parse_args()
    box = boot(NAME, HOSTS)
    try:
        roll(box, HOSTS, WORKERS, 0, HUBLAB_CONCURRENCY=str(PLACES))
        known = cases([float(one) for one in asked.outages.split(",")])
        with box.api() as api:
            bench = Bench(box, api)
            for name in asked.only.split(","):
                for measure in known[name]:
                    keep(measure(bench))
    finally:
        if not os.environ.get("HUBLAB_KEEP_SANDBOX"):
            box.down()
    return 0


if __name__ == "__main__":
    sys.exit(main())
