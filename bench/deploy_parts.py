"""Of what a deploy with nothing to do, and a status, consist: `python -m bench.deploy_parts [--rounds 7]`.

Root, on Debian: one host of a sandbox, deployed once. Each part is a process of its own, and contains the one before
it where it says so; the parts take turns. CPU is of this machine's side, and of all that the host did.
"""

from __future__ import annotations

import argparse
import os
import resource
import shlex
import statistics
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from bench import results
from bench.boxes import boot
from bench.rivals import tools
from deploy.remote import launcher, program
from deploy.settings import ROOT, load, worker_host
from deploy.ssh import arguments
from deploy.state import question
from sandbox.cgroup import Cgroup

if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox import Sandbox


def cpu(box: Sandbox) -> tuple[float, float]:
    """CPU seconds so far: of this process's children, and of the host."""
    ours = resource.getrusage(resource.RUSAGE_CHILDREN)
    return ours.ru_utime + ours.ru_stime, Cgroup(f"{box.layout.cgroup}/{box.hosts[0].name}").cpu_seconds()


def call(*command: str, text: str = "") -> None:
    """A process of its own, from its start to its end."""
    subprocess.run(command, input=text, capture_output=True, text=True, check=True)


def parts(box: Sandbox) -> dict[str, Callable[[], None]]:
    """What is measured, by what it is called."""
    settings = load(box.env_file)
    target = settings.hosts[0]
    ssh, wanted = arguments(settings, target), worker_host(settings, target)
    shell = f"sh -c {shlex.quote(launcher(wanted.python))}"
    return {
        "Python, which imports nothing": lambda: call(sys.executable, "-c", ""),
        "Python, which imports pyinfra": lambda: call(sys.executable, "-c", "import pyinfra_cli.main"),
        "`ssh` to the host, where nothing is done": lambda: call(*ssh, "true"),
        "the same, where Python is started": lambda: call(*ssh, shell, text="0"),
        "the same, where it looks at what a plan needs": lambda: call(*ssh, shell, text=program(question(wanted))),
        "all of `./hublab status`": lambda: tools.status(box),
        "all of a deploy with nothing to do": lambda: tools.hublab(box),
    }


def measure(box: Sandbox, job: Callable[[], None]) -> dict[str, float]:
    """Seconds of wall time, and of CPU."""
    before, began = cpu(box), time.monotonic()
    job()
    taken, after = time.monotonic() - began, cpu(box)
    return {"wall": taken, "here": after[0] - before[0], "host": after[1] - before[1]}


def table(found: dict[str, list[dict[str, float]]]) -> results.Table:
    """The medians. Pure."""
    rows = [
        [part, *(f"{statistics.median(one[what] for one in rounds):.2f} s" for what in ("wall", "here", "host"))]
        for part, rounds in found.items()
    ]
    return results.Table(["one host", "wall time", "CPU of this machine", "CPU of the host"], rows)


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    os.chdir(ROOT)
    box = boot("parts")
    try:
        tools.hublab(box)
        jobs = parts(box)
        found: dict[str, list[dict[str, float]]] = {part: [] for part in jobs}
        for number in range(rounds):
            for part in results.rotated(list(jobs), number):
                found[part].append(measure(box, jobs[part]))
    finally:
        box.down()
    results.write("deploy_parts", table(found), found)


if __name__ == "__main__":
    main()
