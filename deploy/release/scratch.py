"""The operator's scratch folder, which deploys of one checkout share: one at a time makes something there."""

from __future__ import annotations

import fcntl
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from deploy.env_file import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SCRATCH = ROOT / ".hublab"
KEEP_SECONDS = 3600.0
"""How long an archive stays that another deploy may still be uploading."""
_PAUSE = 0.1


@contextmanager
def alone(scratch: Path) -> Iterator[None]:
    """Nobody else makes anything below `scratch` meanwhile, in this process or another.

    Waits by sleeping, never in the kernel: the hosts of one deploy are greenlets of one process.
    """
    scratch.mkdir(parents=True, exist_ok=True)
    with (scratch / "lock").open("w") as handle:
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                time.sleep(_PAUSE)
        yield


def prune(folder: Path, pattern: str) -> None:
    """Remove what has served its time."""
    for path in folder.glob(pattern):
        if time.time() - path.stat().st_mtime > KEEP_SECONDS:
            path.unlink(missing_ok=True)
