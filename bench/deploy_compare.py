"""First deploy and no-op deploy against a bash script over one ssh and Ansible, in one run, as ratios of medians.

    python -m bench.deploy_compare [--hosts 1,5,10] [--first 1] [--no-op 5]    (0: leave that half out)

Root, on Debian: it boots its own sandbox hosts. All tools bring the same wheels, lock, code and units; all restart
worker by worker through the same probe, in the same waves of hosts. Rounds alternate between the tools and begin with
another each time, so that a busy machine is busy for all. Beside them, what `./hublab status` of the hosts takes.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from bench import results
from bench.boxes import boot
from bench.rivals import artefacts, tools

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sandbox import Sandbox

FLOOR = "bash"


def timed(job: Callable[[], None]) -> float:
    """Seconds of wall time."""
    start = time.monotonic()
    job()
    return time.monotonic() - start


def table(found: Mapping[str, Mapping[str, list[float]]]) -> results.Table:
    """Medians and their ratio to the floor."""
    names = list(next(iter(found.values())))
    rows = []
    for what, times in found.items():
        middle = {name: statistics.median(seconds) for name, seconds in times.items()}
        floor = middle.get(FLOOR)
        told = {name: f"{took:.2f} s" + (f", {took / floor:.1f} ×" if floor else "") for name, took in middle.items()}
        rows.append([what, *(told.get(name, "–") for name in names)])
    return results.Table([f"{artefacts.WORKERS} workers a host; waves of one, a quarter, the rest", *names], rows)


def compare(sandbox: Sandbox, count: int, first: int, noop: int, found: dict[str, dict[str, list[float]]]) -> None:
    """All figures for one number of hosts, put into `found`."""
    with tempfile.TemporaryDirectory() as folder:
        made = artefacts.make(sandbox, Path(folder))
        ours = partial(tools.hublab, sandbox)
        floor = partial(tools.bash, made)
        pipelined = partial(tools.ansible, made)
        mitogen = partial(tools.ansible, made, mitogen=True)
        deploys = {FLOOR: floor, "hublab": ours, "ansible, pipelining": pipelined, "ansible, mitogen": mitogen}
        times: dict[str, list[float]] = {name: [] for name in deploys}
        for number in range(first):
            for name in results.rotated(list(deploys), number):
                tools.clear(made.hosts)
                times[name].append(timed(deploys[name]))
        if first:
            found[f"{count} hosts, first deploy (of {first})"] = times
        if not noop:
            return
        # The last to have deployed must be this project, whose release carries a record of itself.
        tools.clear(made.hosts)
        ours()
        times = {name: [] for name in deploys}
        for job in deploys.values():
            job()
        before = tools.pids(made.hosts)
        for number in range(noop):
            for name in results.rotated(list(deploys), number):
                times[name].append(timed(deploys[name]))
        assert tools.pids(made.hosts) == before, "a tool found something to do"
        found[f"{count} hosts, nothing to do (of {noop})"] = times
        found[f"{count} hosts, `./hublab status` (of {noop})"] = {
            "hublab": [timed(partial(tools.status, sandbox)) for _ in range(noop)]
        }


def main() -> None:
    """Boots as many hosts as are wanted, one size after the other."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--hosts", default="1,5,10")
    options.add_argument("--first", type=int, default=1)
    options.add_argument("--no-op", type=int, default=5, dest="noop")
    given = options.parse_args()
    tools.install_ansible()
    for count in sorted(int(item) for item in given.hosts.split(",")):
        found: dict[str, dict[str, list[float]]] = {}
        box = boot("hosts", count)
        try:
            compare(box, count, given.first, given.noop, found)
        finally:
            box.down()
        results.write("deploy_compare" if count == 1 else f"deploy_compare_{count}", table(found), found)


if __name__ == "__main__":
    main()
