"""How long a rollout takes with more hosts, more workers and other waves, under load.

    python -m bench.scale [--hosts 1,2,5,10] [--workers 1,3,6] [--waves 1] [--wave-hosts 5] [--every 10]

Root, on Debian: it boots its own sandbox hosts. Every rollout restarts every worker (a setting changes, no release is
built) while a short flow run is started every so many seconds; at the end each of them must have completed, once.
All hosts share this machine's processors, so what they do side by side takes longer here than on hosts of their own:
the time for one worker alone is the one to reckon with.
"""

from __future__ import annotations

import argparse
import re
import statistics
import time
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING

from bench import results
from bench.boxes import boot
from deploy.rollout.waves import waves
from deploy.settings import ROOT
from sandbox import env_file
from sandbox.load import Load
from sandbox.operator import DEPLOY, Operator
from sandbox.past import FLOWS

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

    from sandbox import Sandbox

READY = re.compile(r"(\S+): ready after ([\d.]+) s")
PASSED = re.compile(r"(\S+): ONLINE, probe run COMPLETED")
CONCURRENCY = count(5)  # another setting for each rollout, none of them the default


@dataclass
class Rollout:
    """One rollout and what it took, in seconds; `moves`: of each worker, from its stop to its passed gate."""

    hosts: int
    workers: int
    wave: int
    wall: float = 0.0
    activate: float = 0.0
    moves: list[float] = field(default_factory=list)

    @property
    def widths(self) -> list[int]:
        """How many hosts went side by side, wave by wave."""
        return [len(wave) for wave in waves(range(self.hosts), self.wave)]


def lines(process: subprocess.Popen[str]) -> Iterator[tuple[float, str]]:
    """Each line with the moment at which it came."""
    assert process.stdout
    for line in process.stdout:
        yield time.monotonic(), line


def roll(sandbox: Sandbox, hosts: int, workers: int, wave: int, **settings: str) -> Rollout:
    """Rolls the first hosts of the sandbox, and measures."""
    found, names = Rollout(hosts, workers, wave), sandbox.hosts[:hosts]
    written = env_file.read(sandbox.env_file)
    written |= {"HUBLAB_HOSTS": ",".join(f"root@{host.address}" for host in names), "HUBLAB_WORKERS": str(workers)}
    written |= {"HUBLAB_READ_PATHS": str(FLOWS), "HUBLAB_GATE_SECONDS": "600", **settings}
    operator = Operator(sandbox.env_file.with_name("scale.env"), written)
    began, ready, said, activate = time.monotonic(), {}, [], 0.0
    process = operator.begin(*DEPLOY[:2], "--data", f"wave={wave}", *DEPLOY[2:])
    for moment, line in lines(process):
        said.append(line)
        if "Starting operation: activate" in line:
            activate = moment
        elif match := READY.search(line):
            ready[match[1]] = moment - float(match[2])
        elif match := PASSED.search(line):
            found.moves.append(moment - ready[match[1]])
    assert process.wait() == 0, "".join(said)
    found.wall, found.activate = time.monotonic() - began, time.monotonic() - activate
    return found


def sweep(sandbox: Sandbox, hosts: list[int], workers: list[int], sizes: list[tuple[int, int]]) -> Iterator[Rollout]:
    """Hosts with three workers each; then workers on one host; then waves: how many hosts, how many at once."""
    cases = [(number, 3, 0) for number in hosts]
    cases += [(1, number, 0) for number in workers if number != 3]  # noqa: PLR2004
    cases += [(number, 3, size) for number, size in sizes]
    for number, each, size in cases:
        if each != 3:  # noqa: PLR2004
            roll(sandbox, number, each, 0)  # so that every one of them is there to be restarted
        found = roll(sandbox, number, each, size, HUBLAB_CONCURRENCY=str(next(CONCURRENCY)))
        assert len(found.moves) == number * each, "not every worker was restarted"
        print("  ".join(_told(found)), flush=True)
        yield found


def main() -> None:
    """Boots the hosts, deploys to them, measures, counts the runs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hosts", default="1,2,5,10")
    parser.add_argument("--workers", default="1,3,6")
    parser.add_argument("--waves", default="1", help="WAVE= of further rollouts")
    parser.add_argument("--wave-hosts", type=int, default=5, help="over so many hosts")
    parser.add_argument("--every", type=float, default=10.0, help="seconds between the flow runs")
    parser.add_argument("--keep", action="store_true", help="leave the hosts up for another run")
    parser.add_argument("--prepare", action="store_true", help="only boot and deploy, once")
    given = parser.parse_args()
    hosts, workers, sizes = (
        [int(part) for part in text.split(",") if part] for text in (given.hosts, given.workers, given.waves)
    )
    box = boot("scale", max(hosts))
    try:
        for host in box.hosts:
            host.put(f"{FLOWS}/flows.py", (ROOT / "sandbox/past/flows.py").read_text())
        first = roll(box, max(hosts), 3, 0)
        print(f"{max(hosts)} hosts × 3 workers brought up to date in {first.wall:.0f} s", flush=True)
        if not given.prepare:
            measure(box, hosts, workers, [(given.wave_hosts, size) for size in sizes], given.every)
    finally:
        if not given.keep:
            box.down()


def measure(box: Sandbox, hosts: list[int], workers: list[int], sizes: list[tuple[int, int]], every: float) -> None:
    """All rollouts, under one load."""
    load = Load(box)
    load.every, load.most = every, 10_000
    load.start()
    try:
        found = list(sweep(box, hosts, workers, sizes))
    finally:
        ended = load.finish()
    print(f"flow runs meanwhile: {ended.count(('COMPLETED', 1))} of {len(ended)} completed, each once")
    assert set(ended) == {("COMPLETED", 1)}, ended
    heads = [
        "hosts × workers, all restarted",
        "hosts side by side",
        "wall time",
        "one worker, stop to passed gate (median)",
    ]
    results.write("scale", results.Table(heads, [_told(one) for one in found]), [one.__dict__ for one in found])


def _told(one: Rollout) -> list[str]:
    widths = f"one at a time (`WAVE={one.wave}`)" if one.wave == 1 else " + ".join(map(str, one.widths))
    return [f"{one.hosts} × {one.workers}", widths, f"{one.wall:.0f} s", f"{statistics.median(one.moves):.1f} s"]


if __name__ == "__main__":
    main()
