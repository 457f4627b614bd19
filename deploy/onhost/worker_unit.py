"""One worker's unit: verified, put in place, started, gated; or what was there before, put back."""

from __future__ import annotations

import datetime
import json
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deploy.onhost.common import HostError, ask, must, read, say, write_atomically
from deploy.onhost.drop_ins import bring_back

if TYPE_CHECKING:
    from collections.abc import Callable

START_SECONDS = 150


def verify(unit: str, text: str) -> None:
    """Lets systemd itself read the unit before it replaces one.

    Raises:
        HostError: with systemd's words.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, unit)
        path.write_text(text)
        done = subprocess.run(
            ["systemd-analyze", "verify", "--man=no", str(path)],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
    faults = [line for line in done.stderr.splitlines() if unit.partition("@")[0] in line]
    if done.returncode or faults:
        raise HostError(f"{unit} does not verify: " + "; ".join(faults or done.stderr.splitlines()))


def put(path: Path, text: str) -> None:
    """Makes a unit the one that systemd knows and starts at boot."""
    write_atomically(path, text, 0o644)
    must("systemctl", "daemon-reload")
    must("systemctl", "enable", "--quiet", path.name)


def restart(unit: str, label: str, limit: float) -> None:
    """Drains and starts a worker, telling what it does meanwhile.

    Raises:
        HostError: it did not become ready.
    """
    must("systemctl", "reset-failed", unit) if ask("systemctl", "is-failed", unit).strip() == "failed" else None
    job = subprocess.Popen(["systemctl", "restart", unit], stderr=subprocess.PIPE, text=True)
    seen, deadline = "", time.monotonic() + limit
    while job.poll() is None:
        if time.monotonic() > deadline:
            job.kill()
            raise HostError(f"{unit} was not ready after {limit:.0f} s")
        status = ask("systemctl", "show", "--property=StatusText", "--value", unit).strip()
        if status and status != seen:
            say(f"{label}: {status}")
            seen = status
        time.sleep(0.5)
    if job.returncode:
        detail = job.stderr.read().strip() if job.stderr else ""
        raise HostError(f"{unit} did not start: {detail.splitlines()[0] if detail else 'no reason given'}")


def show(unit: str) -> dict[str, str]:
    """What systemd says of a unit."""
    text = ask("systemctl", "show", "--property=MainPID,NRestarts,ActiveState,NeedDaemonReload", unit)
    return dict(line.partition("=")[::2] for line in text.splitlines())


def as_service_user(query: dict[str, Any]) -> list[str]:
    """The start of a command that runs as the workers do: their user, their credential, nothing to write but /tmp."""
    properties = {
        "LoadCredential": f"profiles.toml:{query['profiles']}",
        "PrivateTmp": "yes",
        "ProtectSystem": "strict",
        "ProtectHome": "yes",
        "NoNewPrivileges": "yes",
    }
    environment = {
        "PREFECT_API_URL": query["api_url"],
        "PREFECT_HOME": "/tmp/prefect",  # noqa: S108 - a private one
        "HOME": "/tmp",  # noqa: S108
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    return [
        *("systemd-run", "--quiet", "--collect", "--pipe", "--wait", f"--uid={query['user']}"),
        *(f"--property={key}={value}" for key, value in properties.items()),
        *(f"--setenv={key}={value}" for key, value in environment.items()),
        *("/bin/sh", "-c", 'PREFECT_PROFILES_PATH=$CREDENTIALS_DIRECTORY/profiles.toml exec "$@"', "sh"),
    ]


def check_process(unit: str, label: str, before: dict[str, str], release: str) -> None:
    """The process that was started is the one that runs, and it is what it must be.

    Raises:
        HostError: it is another one, of another release, or has uvloop.
    """
    after = show(unit)
    if after != before or after["ActiveState"] != "active":
        raise HostError(f"{label} restarted during its gate ({before} → {after})")
    carried = read(f"/proc/{after['MainPID']}/environ").decode(errors="replace").split("\0")
    if f"HUBLAB_RELEASE={release}" not in carried:
        raise HostError(f"{label} does not run release {release}")
    if b"uvloop" in read(f"/proc/{after['MainPID']}/maps"):
        raise HostError(f"{label} has uvloop loaded")


def gate(query: dict[str, Any], folder: str, since: str) -> dict[str, Any]:
    """The worker has a fresh heartbeat, a run on its own queue completes, and its process is the one that was started.

    Raises:
        HostError: with the reason.
    """
    before = show(query["unit"])
    probe = [
        f"{folder}/venv/bin/python", "-m", "worker.probe", "--worker", query["worker"], "--pool", query["pool"],
        "--since", since, "--timeout", str(query["gate_seconds"]),
    ]  # fmt: skip
    command = [*as_service_user(query), *probe]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=query["gate_seconds"] + 60, check=False)
    except subprocess.TimeoutExpired:
        raise HostError(f"the probe of {query['worker']} did not end") from None
    try:
        answer: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    except (ValueError, IndexError):
        raise HostError(f"the probe of {query['worker']} said nothing useful: {done.stderr.strip()[-400:]}") from None
    if not answer.get("ok"):
        raise HostError(
            f"{query['worker']}: {answer.get('error') or 'the probe run ended ' + str(answer.get('state'))}"
        )
    check_process(query["unit"], query["worker"], before, Path(folder).name)
    return answer


def move(query: dict[str, Any], text: str, folder: str) -> None:
    """One worker onto one unit text, through the gate."""
    path = Path(query["units"], query["unit"])
    put(path, text)
    since = datetime.datetime.now(datetime.UTC)
    restart(query["unit"], query["worker"], query["drain_seconds"] + 60 + START_SECONDS)
    started = datetime.datetime.now(datetime.UTC)
    took = (started - since).total_seconds()
    say(f"{query['worker']}: ready after {took:.1f} s; gate: a heartbeat and a probe run of its own")
    answer = gate(query, folder, since.isoformat())
    say(f"{query['worker']}: ONLINE, probe run COMPLETED in {answer['seconds']:.1f} s")


def release_folder(text: str) -> str:
    """The release that a unit's own text starts from; empty when it starts nothing."""
    starts = (line.partition("=")[2] for line in text.splitlines() if line.startswith("ExecStart="))
    return next(starts, "").partition("/venv/")[0]


def give_up(unit: str, label: str, error: HostError, back: Callable[[], None]) -> int:
    """After a failed move: says why, with the unit's last words, and puts back; 1, or 3 when that failed too."""
    say(f"{label}: FAILED: {error}")
    say(ask("journalctl", "--unit", unit, "--lines=15", "--no-pager", "--output=short-iso").rstrip())
    try:
        back()
    except HostError as second:
        say(f"{label}: could not be put back either: {second}")
        return 3
    return 1


def put_back(query: dict[str, Any], previous: str) -> None:
    """What was there before, through its own gate; or nothing, when there was nothing."""
    bring_back(query["unit"], Path(query["before"]))
    path = Path(query["units"], query["unit"])
    if not previous:
        subprocess.run(["systemctl", "disable", "--quiet", "--now", query["unit"]], check=False, capture_output=True)
        path.unlink(missing_ok=True)
        must("systemctl", "daemon-reload")
        say(f"{query['worker']}: was new, and is gone again")
        return
    folder = release_folder(previous)
    move(query, previous, folder)
    say(f"{query['worker']}: put back on release {Path(folder).name}")
