"""Ends a rollout on one host: surplus workers, the link to the release of record, old releases, the audit line."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

from deploy.onhost.common import must, say, sync_folder


def link(path: Path, target: Path) -> None:
    """Points a link elsewhere in one step."""
    fresh = path.with_name(f".{path.name}.new")
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(target)
    fresh.replace(path)
    sync_folder(path.parent)


def remove_worker(unit: str, units: Path, limit: float) -> None:
    """Drains a worker that is not wanted any more and removes its unit."""
    must("systemctl", "disable", "--quiet", unit)
    must("systemctl", "stop", unit, timeout=limit)
    (units / unit).unlink(missing_ok=True)
    must("systemctl", "daemon-reload")
    subprocess.run(["systemctl", "reset-failed", unit], check=False, capture_output=True)
    say(f"{unit} is drained and removed")


def audit(query: dict[str, Any]) -> None:
    """Appends one line to the host's own record of deploys."""
    line = {"at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), **query["audit"]}
    with Path(query["state"], "deploys.jsonl").open("a", encoding="utf-8") as stream:
        os.fchmod(stream.fileno(), 0o644)
        stream.write(json.dumps(line) + "\n")
        stream.flush()
        os.fsync(stream.fileno())


def main(query: dict[str, Any]) -> int:
    """Everything is done after every worker has passed its gate; nothing here can lose a run."""
    os.umask(0o022)
    base = Path(query["base"])
    for unit in query["surplus"]:
        remove_worker(unit, Path(query["units"]), query["drain_seconds"] + 120)
    if query["switch"]:
        if query["previous"]:
            link(base / "previous", base / "releases" / query["previous"])
        link(base / "current", base / "releases" / query["release"])
    for name in query["prune"]:
        shutil.rmtree(base / "releases" / name, ignore_errors=True)
    audit(query)
    return 0
