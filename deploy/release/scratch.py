"""The operator's scratch folder, which deploys of one checkout share: one at a time makes something there."""

from __future__ import annotations

import fcntl
import hashlib
import io
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from deploy.env_file import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import Protocol

    class Writer(Protocol):
        """What bytes can be written to."""

        def write(self, data: bytes, /) -> int:
            """How many it took: all of them."""


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


class Digest(io.RawIOBase):
    """A file to write to, and the digest of what was meant: what somebody does to the file meanwhile is not in it."""

    def __init__(self, out: Writer) -> None:
        self.total, self._out = hashlib.sha256(), out

    def write(self, data: bytes) -> int:  # type: ignore[override]
        """All of it, to both."""
        self.total.update(data)
        return self._out.write(data)
