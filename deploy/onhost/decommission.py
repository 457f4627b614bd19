"""Takes a host out of service: workers are drained, what deploys put there is removed, and what is left is named."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

from deploy.onhost.common import HostError, counted, must, say
from deploy.onhost.finish_host import remove_worker
from deploy.onhost.prefect_api import Access, ApiError, request
from deploy.onhost.trust import ours
from deploy.onhost.wire import SECRETS, Query

if TYPE_CHECKING:
    from pathlib import Path

HTTP_NOT_FOUND = 404
# What is in the state folder and is not the deploy's to throw away: what others had there before, and who did what.
LEFT = {"retired": "what a deploy had moved aside of others' is kept there", "deploys.jsonl": "the record of deploys"}

# What is below /opt/hublab and in /etc/hublab.
OURS = (".build", ".arriving", "releases", "current", "previous", "wheels", "python", "root", *SECRETS)


@dataclass(frozen=True, kw_only=True)
class Decommission(Query):
    """What deploys put on a host beside folders: units of `workers`, which Prefect knows by their `names`.

    `webhooks`: their unit, or empty.
    """

    workers: tuple[str, ...]
    names: tuple[str, ...]
    webhooks: str
    user: str
    write_paths: tuple[str, ...]
    pool: str
    access: Access


def stop_webhooks(unit: str, units: Path) -> None:
    """What has been accepted stays in the spool."""
    must("systemctl", "disable", "--quiet", "--now", unit, timeout=180)
    (units / unit).unlink(missing_ok=True)
    must("systemctl", "daemon-reload")
    say(f"{unit} is stopped and removed")


def waiting(spool: Path) -> int:
    """How many payloads were answered 202 for, and are nowhere else."""
    return sum(1 for path in spool.rglob("*") if path.is_file()) if spool.is_dir() else 0


def forget(query: Decommission, worker: str) -> None:
    """The worker and the queue of its probes are no longer listed at Prefect's server; said, where that fails."""
    pool = f"/work_pools/{quote(query.pool)}"
    for path in (f"{pool}/workers/{quote(worker)}", f"{pool}/queues/{quote('probe-' + worker)}"):
        try:
            request(query.access, path, method="DELETE")
        except ApiError as error:
            if error.status != HTTP_NOT_FOUND:
                say(f"left at Prefect's server: {path} ({error})")
        except OSError as error:
            say(f"left at Prefect's server: {path} ({error})")


def owned(user: str, folders: list[str]) -> str:
    """The first thing in these folders that a user owns; empty when there is none."""
    found = [
        subprocess.run(
            ["find", folder, "-xdev", "-user", user, "-print", "-quit"], capture_output=True, text=True, check=False
        ).stdout.strip()
        for folder in folders
        if os.path.isdir(folder)
    ]
    return next(filter(None, found), "")


def remove_user(name: str, folders: list[str]) -> None:
    """A user goes, unless files of it remain: they would be the next user's who gets its number."""
    if file := owned(name, folders):
        say(f"left: user {name}, since {file} is its")
        return
    done = subprocess.run(["userdel", name], capture_output=True, text=True, check=False)
    if done.returncode:
        say(f"left: user {name} ({done.stderr.strip()})")


def users(prefix: str) -> list[str]:
    """Ours, the one whose group all others share last."""
    return sorted((entry.pw_name for entry in ours(prefix)), reverse=True)


def remove_folder(folder: Path) -> None:
    """All of it; where somebody has put a link in its place, what deploys put there, and the link."""
    if not folder.is_symlink():
        if folder.is_dir():
            shutil.rmtree(folder)
        return
    there = folder.resolve()
    for path in there.glob("*"):
        if path.name in OURS and path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.name in OURS:
            path.unlink()
    folder.unlink()
    if there.is_dir() and any(there.iterdir()):
        say(f"left: {there}: {folder} led there, and it has more than deploys put there")
    elif there.is_dir():
        there.rmdir()


def remove_state(state: Path) -> None:
    """All of it but what is others', or was accepted and not yet delivered."""
    for path in sorted(state.glob("*")):
        if path.name in LEFT:
            say(f"left: {path}: {LEFT[path.name]}")
        elif count := waiting(path / "spool"):
            kept = counted(count, "payload that was", "payloads that were")
            say(f"left: {path}/spool: {kept} accepted and not handed on; deploy the webhooks again")
        elif path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    if not any(state.glob("*")):
        remove_folder(state)


def masked(units: Path) -> list[str]:
    """The units of before that a deploy keeps from being started."""
    links = (path for path in units.glob("*prefect*.service") if path.is_symlink())
    return sorted(path.name for path in links if os.readlink(path) == "/dev/null")


def main(query: Decommission) -> int:
    """0: all that was put there is gone, but for what was named. 1: something could not be done; again, it goes on."""
    os.umask(0o022)
    units, state = query.places.units, query.places.state
    try:
        for unit in query.workers:
            remove_worker(unit, units)
        if query.webhooks:
            stop_webhooks(query.webhooks, units)
        for worker in query.names:
            forget(query, worker)
        for folder in (query.places.config, query.places.base):
            remove_folder(folder)
        if state.is_dir():
            remove_state(state)
        for name in users(query.user):
            remove_user(name, [str(state), *query.write_paths])
    except (HostError, OSError) as error:
        say(f"not everything could be removed: {error}")
        return 1
    for name in masked(units):
        say(f"left: {name} is masked, so that the worker of before does not start: systemctl unmask {name}")
    shutil.rmtree(query.places.lock, ignore_errors=True)
    return 0
