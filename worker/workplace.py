"""The folder that each engine works in. A host that cannot give one takes no runs for a while, and loses none."""

from __future__ import annotations

import logging
import tempfile
import time
from contextlib import nullcontext
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

PAUSE_SECONDS = 30.0
"""For so long no run is taken after a folder could not be had: others have the time to take them."""
BACK_IN = timedelta(seconds=20)
"""When a run that found no folder here is due again."""

_log = logging.getLogger("prefect.hublab")


class Workplace:
    """Temporary folders, and whether they can be had: a full disk is the host's fault, not the run's."""

    def __init__(self) -> None:
        """Begin without a problem; where the folders are to be is decided now, whatever becomes of that place."""
        self._parent = tempfile.gettempdir()
        self._problem = ""
        self._until = float("-inf")

    def open(self, configured: str | Path | None) -> AbstractContextManager[str | Path]:
        """The configured folder, seen from the worker's own, or a new one that goes when the context ends.

        Raises:
            OSError: There can be none; from now on `problem` says so for half a minute.
        """
        if configured:
            return nullcontext(Path(configured).resolve())
        try:
            return tempfile.TemporaryDirectory("prefect", dir=self._parent, ignore_cleanup_errors=True)
        except OSError as error:
            self._problem, self._until = f"{error}", time.monotonic() + PAUSE_SECONDS
            _log.error("No flow run can be started here, none is taken for %.0f s: %s", PAUSE_SECONDS, error)
            raise

    @property
    def problem(self) -> str | None:
        """Why no run is to be taken now, such as "no runs can be started: [Errno 28] No space left on device: …"."""
        return f"no runs can be started: {self._problem}" if time.monotonic() < self._until else None
