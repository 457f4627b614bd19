"""Workers that were started by other means: frozen while the new ones prove themselves, then retired, or thawed."""

from __future__ import annotations

import calendar
import contextlib
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

from deploy.legacy.uvloop import remove
from deploy.onhost.common import must, say
from deploy.onhost.prefect_api import request, worker_of
from deploy.onhost.processes import alive, children, output_pipes

# A stopped worker is woken by the host itself when the operator's machine never comes back.
THAW_MINUTES = 30
RECENT_SECONDS = 120
# A run whose worker reads its output no more waits as soon as the pipe is full, and dies by it once the worker is gone.
READER = "hublab-legacy-output-{pid}"
CLOCK = re.compile(r"\.\d+|Z$|\+00:00$")


def pending(query: dict[str, Any]) -> int:
    """Runs that a legacy worker of this host may just have claimed and not yet started."""
    claimed = {"state": {"type": {"any_": ["PENDING"]}}}
    pool = {"name": {"any_": [query["pool"]]}}
    runs = request(query, "/flow_runs/filter", {"flow_runs": claimed, "work_pools": pool})
    names = {item["name"] for item in query["legacy"]}
    return sum(1 for run in runs if time.time() - claimed_at(run) < RECENT_SECONDS and may_be_of(names, run))


def claimed_at(run: dict[str, Any]) -> int:
    """When a run came into its state, in whole seconds since the epoch; the server's times are UTC."""
    return calendar.timegm(time.strptime(CLOCK.sub("", run["state"]["timestamp"]), "%Y-%m-%dT%H:%M:%S"))


def may_be_of(names: set[str], run: dict[str, Any]) -> bool:
    """Whether a claimed run may belong to one of these workers: it has its worker's label, or none yet.

    An empty name stands for a worker whose name is not known: then every run may be its own.
    """
    return "" in names or worker_of(run) in names | {""}


def freeze(query: dict[str, Any]) -> int:
    """Stops the polling of all legacy workers, at a moment when none has a run between claim and start."""
    pids = [item["pid"] for item in query["legacy"] if alive(item)]
    if not pids:
        return 0
    unit = "hublab-thaw"
    subprocess.run(["systemctl", "stop", f"{unit}.timer"], check=False, capture_output=True)
    must(
        "systemd-run",
        "--quiet",
        "--collect",
        f"--unit={unit}",
        f"--on-active={THAW_MINUTES}min",
        "/bin/sh",
        "-c",
        f"kill -CONT {' '.join(map(str, pids))}; systemctl stop {' '.join(READER.format(pid=pid) for pid in pids)}",
    )
    for _ in range(15):
        send(pids, signal.SIGSTOP)
        claimed = pending(query)
        if not claimed:
            for pid in pids:
                read_output(pid)
            say(f"legacy workers poll no more ({len(pids)} processes); their runs go on")
            return 0
        send(pids, signal.SIGCONT)
        time.sleep(2)
    rest = "between claim and start; they were left polling. Try again when it is quiet."
    say(f"legacy workers keep {claimed} run(s) {rest}")
    return 1


def send(pids: list[int], number: signal.Signals) -> None:
    """A signal to each that is still there."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def read_output(pid: int) -> None:
    """Reads on, into the journal, what the runs of a frozen worker write, until the last of them has ended."""
    stop_reading(pid)
    if not (pipes := output_pipes(pid)):
        return
    unit = f"--unit={READER.format(pid=pid)}"
    each = 'for pipe; do cat "$pipe" & done; wait'
    must("systemd-run", "--quiet", "--collect", unit, "/bin/sh", "-c", each, "sh", *pipes)


def stop_reading(pid: int) -> None:
    """The worker reads for itself."""
    subprocess.run(["systemctl", "stop", READER.format(pid=pid)], check=False, capture_output=True)


def thaw(query: dict[str, Any]) -> int:
    """Lets them poll again."""
    pids = [item["pid"] for item in query["legacy"] if alive(item)]
    send(pids, signal.SIGCONT)
    for pid in pids:
        stop_reading(pid)
    subprocess.run(["systemctl", "stop", "hublab-thaw.timer"], check=False, capture_output=True)
    say("legacy workers poll again")
    return 0


def wait_for_runs(item: dict[str, Any], limit: float) -> int:
    """Waits until the worker's runs have ended; returns how many have not, after `limit` seconds."""
    deadline, told = time.monotonic() + limit, 0.0
    while (running := len(children(item["pid"]))) and time.monotonic() < deadline:
        if time.monotonic() - told > 15:  # noqa: PLR2004
            say(f"legacy worker {item['name'] or item['pid']}: waiting for its runs ({running} process(es))")
            told = time.monotonic()
        time.sleep(0.5)
    return running


def end(item: dict[str, Any], retired: Path, units: Path) -> None:
    """Ends the worker alone, never its runs, and keeps its unit from coming back."""
    unit = item["unit"]
    if not unit:
        send([item["pid"]], signal.SIGKILL)
        return
    folder = Path("/run/systemd/system", f"{unit}.d")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "retire.conf").write_text("[Service]\nRestart=no\nKillMode=process\n")
    must("systemctl", "daemon-reload")
    send([item["pid"]], signal.SIGKILL)
    shut_out(unit, retired, units)
    shutil.rmtree(folder, ignore_errors=True)
    must("systemctl", "daemon-reload")
    subprocess.run(["systemctl", "reset-failed", unit], check=False, capture_output=True)


def shut_out(unit: str, retired: Path, units: Path) -> None:
    """Disables and masks a unit; its file is kept aside."""
    subprocess.run(["systemctl", "disable", "--quiet", unit], check=False, capture_output=True)
    retired.mkdir(parents=True, exist_ok=True)
    if (units / unit).is_file():
        shutil.move(units / unit, retired / unit)
    must("systemctl", "mask", "--quiet", unit)


def retire(query: dict[str, Any]) -> int:
    """All of them, each after its runs."""
    retired, units = Path(query["retired"]), Path(query["units"])
    for item in query["legacy"]:
        for found in item["uvloop"]:
            remove(found, item["uid"], vouched=bool(item["unit"]))
        if not alive(item):
            continue
        left = wait_for_runs(item, query["drain_seconds"])
        end(item, retired, units)
        say(
            f"legacy worker {item['name'] or item['pid']} is retired"
            + (f"; {left} process(es) of its runs go on without it" if left else "")
        )
    for unit in query["legacy_units"]:
        if (units / unit).is_file():
            subprocess.run(["systemctl", "stop", unit], check=False, capture_output=True)
            shut_out(unit, retired, units)
            must("systemctl", "daemon-reload")
    subprocess.run(["systemctl", "stop", "hublab-thaw.timer"], check=False, capture_output=True)
    return 0


def main(query: dict[str, Any]) -> int:
    """`phase`: freeze, thaw or retire."""
    return {"freeze": freeze, "thaw": thaw, "retire": retire}[query["phase"]](query)
