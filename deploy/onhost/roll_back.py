"""Undoes an unfinished rollout on one host: each worker that was moved goes back to its unit of before, gated."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from deploy.onhost.before import clear, saved
from deploy.onhost.common import HostError, read, say, write_atomically
from deploy.onhost.roll_webhooks import put_back as put_webhooks_back
from deploy.onhost.worker_unit import put_back, show


def serves(unit: str, path: Path, text: str) -> bool:
    """Whether a worker runs on just this unit, as systemd knows it; or is absent, as it was."""
    if not text:
        return not path.exists()
    shown = show(unit)
    return read(path).decode() == text and shown["ActiveState"] == "active" and shown["NeedDaemonReload"] == "no"


def restore(kept: Path, path: Path) -> None:
    """Puts the credential back with its time of change, by which a plan tells that workers have read it."""
    write_atomically(path, read(kept).decode(), 0o600)
    os.utime(path, (kept.stat().st_mtime, kept.stat().st_mtime))


def main(query: dict[str, Any]) -> int:
    """0: every worker is what it was. 1: some could not be put back; each is tried, whatever became of the others."""
    os.umask(0o022)
    folder, failed = Path(query["before"]), []
    former = saved(folder)
    for name, path in query["files"].items():
        if (folder / name).exists():
            restore(folder / name, Path(path))
            say(f"{path} is the one of before")
    for unit, text in reversed(former.items()):
        number = unit.partition("@")[2].removesuffix(".service")
        one = {**query, "unit": unit, "worker": f"{query['hostname']}-{number}" if number else "webhooks"}
        if serves(unit, Path(query["units"], unit), text):
            continue
        try:
            (put_back if number else put_webhooks_back)(one, text)
        except HostError as error:
            say(f"{one['worker']}: could not be put back: {error}")
            failed.append(unit)
    if failed:
        return 1
    clear(folder)
    return 0
