"""Ends a rollout on one host: surplus workers, the link to the release of record, old releases, the audit line."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

from deploy.onhost.before import clear
from deploy.onhost.common import must, read, say, sync_folder, write_atomically
from deploy.onhost.drop_ins import retire
from deploy.onhost.lock import holder, now
from deploy.onhost.record import Line, append
from deploy.onhost.unit_text import stop_seconds
from deploy.onhost.wire import Query


@dataclass(frozen=True, kw_only=True)
class FinishHost(Query):
    """How a rollout ended. `ended`: all have passed, and what is kept, surplus or old is seen to; else the line alone.

    `kept`: the units of the release of record; `surplus`: those of workers that are not wanted any more.
    `prune`: releases. `switch`: `release` becomes that of record, and `previous` the one before.
    """

    kept: tuple[str, ...]
    ended: bool
    surplus: tuple[str, ...]
    switch: bool
    release: str
    previous: str | None
    prune: tuple[str, ...]
    audit: Line


def link(path: Path, target: Path) -> None:
    """Points a link elsewhere in one step."""
    fresh = path.with_name(f".{path.name}.new")
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(target)
    fresh.replace(path)
    sync_folder(path.parent)


def remove_worker(unit: str, units: Path) -> None:
    """Drains a worker that is not wanted any more, for as long as its own unit lets it, and removes that."""
    must("systemctl", "disable", "--quiet", unit)
    must("systemctl", "stop", unit, timeout=stop_seconds(read(units / unit).decode()) + 60)
    (units / unit).unlink(missing_ok=True)
    must("systemctl", "daemon-reload")
    subprocess.run(["systemctl", "reset-failed", unit], check=False, capture_output=True)
    say(f"{unit} is drained and removed")


def keep_units(release: Path, units: Path, names: tuple[str, ...]) -> None:
    """Keeps the units of the release of record, so that a later rollback brings back its settings too."""
    fresh = release.with_name(f".{release.name}.new")
    for folder in (fresh, release):
        shutil.rmtree(folder, ignore_errors=True)
    fresh.mkdir(mode=0o755, parents=True)
    for name in names:
        write_atomically(fresh / name, read(units / name).decode(), 0o644)
    fresh.rename(release)  # all of them or none: a rollback that finds some would mix two releases' settings


def prune_units(folder: Path, base: Path) -> None:
    """The units of releases that are gone serve nobody."""
    for kept in folder.glob("*"):
        if not (base / "releases" / kept.name).is_dir():
            shutil.rmtree(kept, ignore_errors=True)


def prune_interpreters(base: Path) -> None:
    """What a deploy brought goes with the last release that stands on it; not what runs this."""
    used = [Path(os.path.realpath(python)) for python in base.glob("releases/*/venv/bin/python")]
    for folder in (base / "python").glob("*"):
        if not any(path.is_relative_to(folder.resolve()) for path in [*used, Path(sys.executable).resolve()]):
            shutil.rmtree(folder, ignore_errors=True)
            say(f"{folder} is removed: no release stands on it any more")


def audit(line: Line, lock: Path | None, record: Path) -> None:
    """Appends one line to the host's own record of deploys; `seconds` is how long the host was locked for it."""
    held = holder(lock) if lock else None
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    append(record, replace(line, at=at, seconds=round(now() - held.began, 1) if held else None))


def main(query: FinishHost) -> int:
    """Everything is done after every worker has passed its gate; nothing here can lose a run."""
    os.umask(0o022)
    places = query.places
    base, units = places.base, places.units
    for unit in query.surplus:
        remove_worker(unit, units)
    if query.switch:
        if query.previous:
            link(base / "previous", base / "releases" / query.previous)
        link(base / "current", base / "releases" / query.release)
    for name in query.prune:
        shutil.rmtree(base / "releases" / name, ignore_errors=True)
    if query.ended:
        keep_units(places.kept / query.release, units, query.kept)
        prune_units(places.kept, base)
        prune_interpreters(base)
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        retire(places.before, places.retired / f"drop-ins-{stamp}")
        clear(places.before)
    audit(query.audit, places.lock if query.token else None, places.record)
    return 0
