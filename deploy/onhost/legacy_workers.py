"""Workers that were started by other means: frozen while the new ones prove themselves, then retired, or thawed."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

from deploy.onhost.common import ask, must, read, say
from deploy.onhost.prefect_api import request

# A stopped worker is woken by the host itself when the operator's machine never comes back.
THAW_MINUTES = 30
RECENT_SECONDS = 120
CLOCK = re.compile(r"\.\d+|Z$|\+00:00$")


def stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat (proc(5)) from the third, its state, on; empty when it is gone or a zombie."""
    fields = read(f"/proc/{pid}/stat").decode().rpartition(")")[2].split()
    return fields if fields and fields[0] != "Z" else []


def alive(item: dict[str, Any]) -> bool:
    """Whether the process is still the one that was seen: a pid alone may have been given to another."""
    fields = stat(item["pid"])
    boot = re.search(rb"btime (\d+)", read("/proc/stat"))
    if not fields or not boot:
        return False
    return bool(abs(int(boot[1]) + int(fields[19]) / os.sysconf("SC_CLK_TCK") - item["started"]) < 2)  # noqa: PLR2004


def children(pid: int) -> list[int]:
    """All descendants of a process that still run: a frozen worker cannot collect those of its runs that have ended."""
    direct = [int(part) for path in Path("/proc", str(pid), "task").glob("*/children") for part in read(path).split()]
    return [child for child in direct if stat(child)] + [below for child in direct for below in children(child)]


def pending(query: dict[str, Any]) -> int:
    """Runs that some worker of the pool has just claimed and not yet started."""
    claimed = {"state": {"type": {"any_": ["PENDING"]}}}
    pool = {"name": {"any_": [query["pool"]]}}
    runs = request(query, "/flow_runs/filter", {"flow_runs": claimed, "work_pools": pool})
    moments = [
        time.mktime(time.strptime(CLOCK.sub("", run["state"]["timestamp"]), "%Y-%m-%dT%H:%M:%S")) - time.timezone
        for run in runs
    ]
    return sum(1 for moment in moments if time.time() - moment < RECENT_SECONDS)


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
        "/bin/kill",
        "-CONT",
        *map(str, pids),
    )
    for _ in range(15):
        send(pids, signal.SIGSTOP)
        claimed = pending(query)
        if not claimed:
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


def thaw(query: dict[str, Any]) -> int:
    """Lets them poll again."""
    send([item["pid"] for item in query["legacy"] if alive(item)], signal.SIGCONT)
    subprocess.run(["systemctl", "stop", "hublab-thaw.timer"], check=False, capture_output=True)
    say("legacy workers poll again")
    return 0


def remove_uvloop(python: str) -> None:
    """Out of a legacy environment, by its own pip, else by the list of its own files."""
    subprocess.run(
        [python, "-I", "-m", "pip", "uninstall", "--yes", "--quiet", "uvloop"],
        check=False,
        capture_output=True,
        timeout=120,
    )
    code = (
        "import importlib.metadata as m, sys\n"
        "try: files = m.distribution('uvloop').files or []\n"
        "except m.PackageNotFoundError: sys.exit()\n"
        "for path in [item.locate() for item in files]:\n"
        "    path.unlink(missing_ok=True)\n"
        "    try: path.parent.rmdir()\n"
        "    except OSError: pass\n"
    )
    subprocess.run([python, "-I", "-c", code], check=False, capture_output=True, timeout=60)
    look = "import importlib.util as u; s = u.find_spec('uvloop'); print(bool(s and s.origin))"
    left = ask(python, "-I", "-c", look)
    say(f"uvloop removed from {python}" if left.strip() == "False" else f"uvloop could not be removed from {python}")


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
        if item["uvloop"]:
            remove_uvloop(item["python"])
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
