"""What systemd and the process itself say of units. Standard library only."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

from deploy.onhost.common import ask, read
from deploy.onhost.state import Worker
from deploy.onhost.state_folders import BASE, folders_ready
from deploy.onhost.untrusted import printable

PROPERTIES = "Id,ActiveState,MainPID,NRestarts,NeedDaemonReload,UnitFileState,DropInPaths,StatusText"

CREDENTIALS = "/run/credentials"


def environment(pid: int) -> dict[str, str]:
    """The environment a process was started with."""
    pairs = (item.partition("=") for item in read(f"/proc/{pid}/environ").decode(errors="replace").split("\0"))
    return {key: value for key, _, value in pairs if key.startswith("HUBLAB_")}


def credentials(unit: str) -> dict[str, str]:
    """Name → digest of each credential that a running unit was started with (systemd.exec(5), "Credentials")."""
    return {path.name: hashlib.sha256(read(path)).hexdigest() for path in Path(CREDENTIALS, unit).glob("*")}


def unit_facts(units: str, numbers: dict[str, int]) -> dict[str, Worker]:
    """Each of the named units that has a file, by its name; a worker's with its number.

    Raises:
        OSError: systemd does not say how they are; then nothing is known of their processes.
    """
    texts = {name: read(f"{units}/{name}") for name in numbers if Path(units, name).is_file()}
    if not texts:
        return {}
    found = {
        name: Worker(
            numbers[name],
            unit_sha256=hashlib.sha256(text).hexdigest(),
            unit_text=text.decode(errors="replace"),
            folders_ready=folders_ready(text.decode(errors="replace"), BASE),
        )
        for name, text in texts.items()
    }
    silent = set(found)
    for block in ask("systemctl", "show", "--property", PROPERTIES, *found).strip().split("\n\n"):
        shown = dict(line.partition("=")[::2] for line in block.splitlines())
        name, pid = shown.get("Id", ""), int(shown.get("MainPID") or 0)
        if name not in found:
            continue
        silent.discard(name)
        told = environment(pid) if pid else {}
        found[name] = replace(
            found[name],
            active=shown.get("ActiveState", "inactive"),
            pid=pid,
            restarts=int(shown.get("NRestarts") or 0),
            needs_reload=shown.get("NeedDaemonReload") == "yes",
            enabled=shown.get("UnitFileState", ""),
            release=told.get("HUBLAB_RELEASE", ""),
            unit_digest=told.get("HUBLAB_UNIT", ""),
            drop_ins=tuple(shown.get("DropInPaths", "").split()),
            doing=printable(shown.get("StatusText", "")),
            credentials=credentials(name) if pid else {},
            uvloop=b"uvloop" in read(f"/proc/{pid}/maps") if pid else False,
        )
    if silent:
        raise OSError(f"systemd does not say how {', '.join(sorted(silent))} is")
    return found
