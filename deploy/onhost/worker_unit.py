"""One worker's unit: verified, put in place, started, gated; or what was there before, put back."""

from __future__ import annotations

import datetime
import json
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.onhost.before import restore_secrets
from deploy.onhost.common import HostError, ask, must, read, say, write_atomically
from deploy.onhost.drop_ins import bring_back
from deploy.onhost.state_folders import folders_ready, make_folders_ready
from deploy.onhost.unit_text import credentials, environment, release_folder, stop_seconds, told
from deploy.onhost.wire import Query

if TYPE_CHECKING:
    from collections.abc import Callable

START_SECONDS = 150
VERIFY_SECONDS = 60
CREDENTIALS = "/run/credentials"
DOWN = ("inactive", "failed")
"""In these systemd shows the last words of a process that is gone."""


@dataclass(frozen=True, kw_only=True)
class Moves(Query):
    """What every move of a unit needs, forth or back; who it is and whom it asks, the unit's own text says."""

    gate_seconds: float


def carries_its_credentials(unit: str, text: str) -> bool:
    """Whether the running unit was started with the credentials that lie where its text says."""
    return all(read(f"{CREDENTIALS}/{unit}/{name}") == read(source) for name, source in credentials(text).items())


def verify(unit: str, text: str) -> None:
    """Lets systemd itself read the unit before it replaces one.

    Raises:
        HostError: with systemd's words, or that it did not answer.
    """
    # In memory, and root's: where the disk can be read alone, the step that writes there says so.
    with tempfile.TemporaryDirectory(dir="/run") as folder:
        path = Path(folder, unit)
        path.write_text(text)
        command = ["systemd-analyze", "verify", "--man=no", str(path)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=VERIFY_SECONDS)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise HostError(f"{unit} could not be verified: {error}") from error
    faults = [line for line in done.stderr.splitlines() if unit.partition("@")[0] in line]
    if done.returncode or faults:
        raise HostError(f"{unit} does not verify: " + "; ".join(faults or done.stderr.splitlines()))


def put(path: Path, text: str) -> None:
    """Makes a unit the one that systemd knows and starts at boot."""
    write_atomically(path, text, 0o644)
    must("systemctl", "daemon-reload")
    must("systemctl", "enable", "--quiet", path.name)


def restart(unit: str, label: str, limit: float, text: str) -> None:
    """Drains a worker and starts it on this text, telling what it does meanwhile.

    Raises:
        HostError: it did not become ready.
    """
    must("systemctl", "reset-failed", unit) if ask("systemctl", "is-failed", unit).strip() == "failed" else None
    if not folders_ready(text):
        # Its runs write there: not before the last of them has ended.
        _watch_job("stop", unit, label, limit)
        make_folders_ready(text)
    _watch_job("restart", unit, label, limit)


def _watch_job(verb: str, unit: str, label: str, limit: float) -> None:
    job = subprocess.Popen(["systemctl", verb, unit], stderr=subprocess.PIPE, text=True)
    seen, deadline = "", time.monotonic() + limit
    while job.poll() is None:
        if time.monotonic() > deadline:
            job.kill()
            raise HostError(f"{unit} was not ready after {limit:.0f} s; its journal says why")
        shown = ask("systemctl", "show", "--property=StatusText,ActiveState", "--value", unit)
        status, _, state = shown.strip().rpartition("\n")
        if status and status != seen and state not in DOWN:
            say(f"{label}: {status}")
            seen = status
        time.sleep(0.5)
    if job.returncode:
        detail = job.stderr.read().strip() if job.stderr else ""
        raise HostError(f"{unit} did not {verb}: {detail.splitlines()[0] if detail else 'no reason given'}")


def show(unit: str) -> dict[str, str]:
    """What systemd says of a unit.

    Raises:
        HostError: it says nothing.
    """
    text = ask("systemctl", "show", "--property=MainPID,NRestarts,ActiveState,NeedDaemonReload", unit)
    if not text.strip():
        raise HostError(f"systemd does not say how {unit} is")
    return dict(line.partition("=")[::2] for line in text.splitlines())


def as_worker(unit: str, text: str) -> list[str]:
    """The start of a command that has the API, the credential and the trust that a worker was started with.

    Its user is nobody else's, so that no run can touch it, and it has nothing to write but /tmp.
    """
    properties = {
        "DynamicUser": "yes",
        "LoadCredential": f"profiles.toml:{CREDENTIALS}/{unit}/profiles.toml",
        "PrivateTmp": "yes",
        "ProtectSystem": "strict",
        "ProtectHome": "yes",
        "NoNewPrivileges": "yes",
    }
    variables = {
        "PREFECT_API_URL": told(text, "PREFECT_API_URL"),
        "PREFECT_HOME": "/tmp/prefect",  # noqa: S108 - a private one
        "HOME": "/tmp",  # noqa: S108
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    variables |= {key: value for key, value in environment(text).items() if key == "SSL_CERT_FILE"}
    return [
        *("systemd-run", "--quiet", "--collect", "--pipe", "--wait"),
        *(f"--property={key}={value}" for key, value in properties.items()),
        *(f"--setenv={key}={value}" for key, value in variables.items()),
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


def gate(unit: str, text: str, since: str, limit: float) -> float:
    """The worker has a fresh heartbeat, a run on its own queue completes, and its process is the one that was started.

    Everything about it is taken from its own text: a unit of before is judged by what it was, not by what is wanted.

    Returns:
        How many seconds that run took.

    Raises:
        HostError: with the reason.
    """
    before, folder, worker = show(unit), release_folder(text), told(text, "HUBLAB_WORKER_NAME")
    probe = [
        f"{folder}/venv/bin/python", "-P", "-m", "worker.probe", "--worker", worker,
        "--pool", told(text, "HUBLAB_WORK_POOL"), "--since", since, "--timeout", str(limit),
    ]  # fmt: skip
    command = [*as_worker(unit, text), *probe]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit + 60, check=False)
    except subprocess.TimeoutExpired:
        raise HostError(f"the probe of {worker} did not end") from None
    try:
        answer = dict(json.loads(done.stdout.strip().splitlines()[-1]))
    except (ValueError, TypeError, IndexError):
        raise HostError(f"the probe of {worker} said nothing useful: {done.stderr.strip()[-400:]}") from None
    if not answer.get("ok"):
        raise HostError(f"{worker}: {answer.get('error') or 'the probe run ended ' + str(answer.get('state'))}")
    check_process(unit, worker, before, Path(folder).name)
    if not carries_its_credentials(unit, text):
        raise HostError(f"{worker} was not started with the credential that lies on the host")
    return float(answer["seconds"])


def move(query: Moves, unit: str, text: str) -> None:
    """One worker onto one unit text, through the gate."""
    worker, path = told(text, "HUBLAB_WORKER_NAME"), query.places.units / unit
    stop = max(stop_seconds(text), stop_seconds(read(path).decode()))  # what runs drains by the text of before
    put(path, text)
    since = datetime.datetime.now(datetime.UTC)
    restart(unit, worker, stop + START_SECONDS, text)
    started = datetime.datetime.now(datetime.UTC)
    took = (started - since).total_seconds()
    say(f"{worker}: ready after {took:.1f} s; gate: a heartbeat and a probe run of its own")
    seconds = gate(unit, text, since.isoformat(), query.gate_seconds)
    say(f"{worker}: ONLINE, probe run COMPLETED in {seconds:.1f} s")


def give_up(unit: str, label: str, error: Exception, back: Callable[[], None]) -> int:
    """After a failed move: says why, with the unit's last words, and puts back; 1, or 3 when that failed too."""
    say(f"{label}: FAILED: {error}")
    say(ask("journalctl", "--unit", unit, "--lines=15", "--no-pager", "--output=short-iso").rstrip())
    try:
        back()
    except (HostError, OSError) as second:
        say(f"{label}: could not be put back either: {second}")
        return 3
    return 1


def put_back(query: Moves, unit: str, worker: str, previous: str) -> None:
    """What was there before, credentials first, through its own gate; or nothing, when there was nothing."""
    places, path = query.places, query.places.units / unit
    restore_secrets(places.before, places.secrets)
    bring_back(unit, places.before)
    if not previous:
        must("systemctl", "disable", "--quiet", "--now", unit, timeout=stop_seconds(read(path).decode()) + 60)
        path.unlink(missing_ok=True)
        must("systemctl", "daemon-reload")
        ask("systemctl", "reset-failed", unit)
        say(f"{worker}: was new, and is gone again")
        return
    move(query, unit, previous)
    say(f"{worker}: put back on release {Path(release_folder(previous)).name}")
