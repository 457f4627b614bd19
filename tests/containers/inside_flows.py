"""A flow that looks around in the container that it runs in."""

import json
import os
from pathlib import Path

from prefect import flow


def _opens(pid: str, name: str) -> bool:
    try:
        with Path("/proc", pid, name).open("rb") as file:
            # A process that ended meanwhile has no environment.
            return name == "mem" or bool(file.read(1))
    except OSError:
        return False


@flow
def looks_around(out: str) -> None:
    """Write which processes' environments and memory it can open: its own, and others'."""
    found: dict[str, list[str]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            found[entry.name] = [name for name in ("environ", "mem") if _opens(entry.name, name)]
    own = found.pop(str(os.getpid()))
    Path(out).write_text(json.dumps({"own": own, "others": found}))
