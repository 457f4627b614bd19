"""The host's own record of deploys: one line of JSON for each, appended when it ends."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from deploy.onhost.common import read

if TYPE_CHECKING:
    from pathlib import Path

LINES = 200


def deploys(path: str) -> list[dict[str, Any]]:
    """The last lines, the oldest first; a line that a power cut left in half is left out."""
    found = []
    for line in read(path).decode(errors="replace").splitlines()[-LINES:]:
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return [item for item in found if isinstance(item, dict)]


def append(path: Path, line: dict[str, Any]) -> None:
    """One more line, on disk when this returns."""
    # A line that a full disk or a power cut left in half must not take this one with it.
    before = read(path)
    gap = "\n" if before and not before.endswith(b"\n") else ""
    with path.open("a", encoding="utf-8") as stream:
        os.fchmod(stream.fileno(), 0o644)
        stream.write(gap + json.dumps(line) + "\n")
        stream.flush()
        os.fsync(stream.fileno())
