"""A worker and its runs while Prefect's API is away for long, in real time: `python -m bench.api_away [--minutes 25]`.

Four workers at once, each behind a proxy of its own that misbehaves in its own way, before one real Prefect server
(SQLite) on loopback. Each worker has two places and two runs in flight: one ends in the middle of the outage, one after
it. A third waits for the place of the first. Writes bench/results/api_away.json (how long after the outage that place
was taken), and exits with 1 when a run was lost or started twice, or a worker ended.
The tests have the same in seconds.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from bench import results
from sandbox.local.processes import Trial, Worker, alive
from sandbox.local.proxy import Proxy
from sandbox.local.server import Api, prefect_server
from sandbox.waiting import wait_for

MODES = ("401", "503", "hang", "refuse")
AFTERWARDS = 300.0
HEADS = [
    "how the API is away",
    "back, until the free place was taken",
    "a start as it is usual",
    "three runs",
    "begun",
    "worker's exit status",
]


class Outage:
    """One worker, its two runs and the way in which its API is away."""

    def __init__(self, mode: str, api: Api, server: int, folder: Path) -> None:
        """Everything runs, nothing misbehaves yet."""
        self.mode, self._api = mode, api
        folder.mkdir()
        self.proxy = Proxy(server)
        self.worker = Worker(self.proxy.port, folder, name=f"away-{mode}", HUBLAB_CONCURRENCY="2").ready()
        self.trials = [Trial(folder) for _ in range(3)]
        self.inside, self.across, self.next = self.trials
        began = time.monotonic()
        self.runs = [api.start("until", self.worker.queue, **trial.files) for trial in (self.inside, self.across)]
        for trial in (self.inside, self.across):
            trial.begun()
        self.usual = time.monotonic() - began
        self.runs.append(api.start("until", self.worker.queue, **self.next.files))
        self.idle, self.row = 0.0, list[str]()

    def goes_on(self, since: float) -> bool:
        """Whether the place of the run that ended in the outage is taken again; remembers after how long it was."""
        if not self.idle and self.next.lines("begin"):
            self.idle = time.monotonic() - since
        return bool(self.idle)

    def verdict(self) -> str:
        """Waits until both runs have ended; empty when nothing was lost."""
        states = [
            wait_for(lambda run=run: self._ended(run), "the run ends", AFTERWARDS)  # type: ignore[misc]
            for run in self.runs
        ]
        begun = [len(trial.lines("begin")) for trial in self.trials]
        lived = alive(self.worker.process.pid)
        status = self.worker.term().exit() if lived else self.worker.process.poll()
        self.row = [
            self.mode,
            f"{self.idle:.1f} s",
            f"{self.usual:.1f} s",
            ", ".join(states),
            ", ".join(map(str, begun)),
            str(status),
        ]
        return "" if (states, begun, lived, status) == (["COMPLETED"] * 3, [1] * 3, True, 0) else self.mode

    def _ended(self, run: str) -> str:
        state = self._api.state(run)
        return state if state in {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"} else ""

    def close(self) -> None:
        """Leave nothing behind."""
        self.worker.close()
        for trial in self.trials:
            trial.let_end()
        self.proxy.close()


def main() -> int:
    """Runs all four at once."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--minutes", type=float, default=25)
    half = options.parse_args().minutes * 30
    with tempfile.TemporaryDirectory() as name, prefect_server(Path(name)) as server, ExitStack() as stack:
        api, outages = Api(server, "bench.until"), []
        for mode in MODES:
            outages.append(Outage(mode, api, server, Path(name, mode)))
            stack.callback(outages[-1].close)
        began = time.monotonic()
        with ExitStack() as misbehaviour:
            for outage in outages:
                misbehaviour.enter_context(outage.proxy.misbehaving(outage.mode))
            time.sleep(half)
            for outage in outages:
                outage.inside.let_end()
            time.sleep(half)
        print(f"the API was away for {(time.monotonic() - began) / 60:.1f} minutes, in four ways", flush=True)
        over = time.monotonic()
        # All of them are asked each time.
        wait_for(lambda: min(outage.goes_on(over) for outage in outages), "every place is taken again", AFTERWARDS)
        for outage in outages:
            outage.across.let_end()
            outage.next.let_end()
        verdicts = [outage.verdict() for outage in outages]
        raw = {"minutes": half / 30} | {one.mode: {"back": one.idle, "usual": one.usual} for one in outages}
        results.write("api_away", results.Table(HEADS, [outage.row for outage in outages]), raw)
        return 1 if any(verdicts) else 0


if __name__ == "__main__":
    sys.exit(main())
