"""The host's own record of deploys: one line of JSON for each, appended when it ends."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from deploy.onhost.common import read

if TYPE_CHECKING:
    from pathlib import Path

LINES = 200


@dataclass(frozen=True)
class Line:
    """One deploy: who did what, from which release to which, the workers that were moved, and how it ended.

    `at`: when that was, in ISO 8601. `seconds`: for how long the host was locked for it; None where nobody knows.
    """

    who: str = "unknown"
    what: str = "deploy"
    previous: str | None = None
    to: str = ""
    workers: tuple[str, ...] = ()
    result: str = "ok"
    at: str = ""
    seconds: float | None = None

    @classmethod
    def of(cls, raw: dict[str, Any]) -> Line:
        """As it is kept; what other releases write beside is left out."""
        told = {key: str(raw[key]) for key in ("who", "what", "to", "result", "at") if raw.get(key)}
        seconds, moved = raw.get("seconds"), raw.get("workers")
        return cls(
            **told,
            previous=str(raw["from"]) if raw.get("from") else None,
            workers=tuple(map(str, moved)) if isinstance(moved, list) else (),
            seconds=float(seconds) if isinstance(seconds, (int, float)) else None,
        )

    def kept(self) -> dict[str, Any]:
        """How it is kept, on hosts and at Prefect; every release reads it."""
        told: dict[str, Any] = {"at": self.at, "who": self.who, "what": self.what, "from": self.previous, "to": self.to}
        took = {} if self.seconds is None else {"seconds": self.seconds}
        return told | {"workers": list(self.workers), "result": self.result} | took


def deploys(path: Path) -> tuple[Line, ...]:
    """The last lines, the oldest first; a line that a power cut left in half is left out."""
    found = []
    for line in read(path).decode(errors="replace").splitlines()[-LINES:]:
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return tuple(Line.of(item) for item in found if isinstance(item, dict))


def append(path: Path, line: Line) -> None:
    """One more line, on disk when this returns."""
    # A line that a full disk or a power cut left in half must not take this one with it.
    before = read(path)
    gap = "\n" if before and not before.endswith(b"\n") else ""
    with path.open("a", encoding="utf-8") as stream:
        os.fchmod(stream.fileno(), 0o644)
        stream.write(gap + json.dumps(line.kept()) + "\n")
        stream.flush()
        os.fsync(stream.fileno())
