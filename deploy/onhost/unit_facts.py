"""What systemd and the process itself say of units. Standard library only."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from deploy.onhost.common import ask, read
from deploy.onhost.state_folders import BASE, folders_ready
from deploy.onhost.untrusted import printable

PROPERTIES = "Id,ActiveState,SubState,MainPID,NRestarts,NeedDaemonReload,UnitFileState,Result,DropInPaths,StatusText"

CREDENTIALS = "/run/credentials"


def environment(pid: int) -> dict[str, str]:
    """The environment a process was started with."""
    pairs = (item.partition("=") for item in read(f"/proc/{pid}/environ").decode(errors="replace").split("\0"))
    return {key: value for key, _, value in pairs if key.startswith("HUBLAB_")}


def credentials(unit: str) -> dict[str, str]:
    """Name → digest of each credential that a running unit was started with (systemd.exec(5), "Credentials")."""
    return {path.name: hashlib.sha256(read(path)).hexdigest() for path in Path(CREDENTIALS, unit).glob("*")}


def unit_facts(units: str, names: list[str]) -> dict[str, dict[str, Any]]:
    """Each of the named units that has a file, by its name."""
    found: dict[str, dict[str, Any]] = {
        name: {"sha256": hashlib.sha256(text).hexdigest(), "text": text.decode(errors="replace")}
        for name, text in ((name, read(f"{units}/{name}")) for name in names)
        if Path(units, name).is_file()
    }
    if not found:
        return {}
    for facts in found.values():
        facts["folders_ready"] = folders_ready(facts["text"], BASE)
    for block in ask("systemctl", "show", "--property", PROPERTIES, *found).strip().split("\n\n"):
        shown = dict(line.partition("=")[::2] for line in block.splitlines())
        if shown.get("Id") not in found:
            continue
        pid = int(shown.get("MainPID") or 0)
        found[shown["Id"]] |= {
            "active": shown.get("ActiveState"),
            "sub": shown.get("SubState"),
            "pid": pid,
            "restarts": int(shown.get("NRestarts") or 0),
            "needs_reload": shown.get("NeedDaemonReload") == "yes",
            "enabled": shown.get("UnitFileState"),
            "drop_ins": shown.get("DropInPaths", "").split(),
            "doing": printable(shown.get("StatusText", "")),
            "environment": environment(pid) if pid else {},
            "credentials": credentials(shown["Id"]) if pid else {},
            "uvloop": b"uvloop" in read(f"/proc/{pid}/maps") if pid else False,
        }
    return found
