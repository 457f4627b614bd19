"""What each engine needs of its host: folders, and room for processes. Without, no runs are taken and none are lost."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import stat
import tempfile
import threading
import time
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Self

import anyio
import anyio.to_thread

from worker import removal
from worker.domain import Domain

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from worker.settings import WorkerSettings

PAUSE_SECONDS = 30.0
"""For so long no run is taken after one could not begin here: others have the time to take them."""
BACK_IN = timedelta(seconds=20)
"""When a run that could not begin here is due again."""
_PREFIX, _SUFFIX = tempfile.gettempprefix(), "prefect"
"""What the names of runs' folders begin and end with."""
_THREADS = 24
"""What an engine takes of the unit's TasksMax at the least. A run that forks without end leaves none."""

_log = logging.getLogger("prefect.hublab")


class Workplace:
    """Folders for runs, and whether one can begin: a full disk is the host's fault, or another run's, not the run's."""

    def __init__(self, storage: Path, settings: WorkerSettings) -> None:
        """Begin without a problem; where the folders are to be is decided now, whatever becomes of that place.

        Args:
            storage: Prefect's local result storage, which all runs share: a retry needs what another worker left there.
            settings: what else each run may write, whether it may listen, and where relative folders are seen from.
        """
        self._parent = os.path.realpath(tempfile.gettempdir())
        self._shared = (str(storage), *settings.write_paths)
        self._settings = settings
        self._problem = ""
        self._until = float("-inf")
        with contextlib.suppress(OSError):
            storage.mkdir(parents=True, exist_ok=True, mode=0o700)

    def open(self, configured: str | Path | None) -> Place:
        """A new place; it works in the configured folder, seen from where the worker was started, if there is one.

        Raises:
            OSError: There can be none, or no engine in it; from now on `problem` says so for half a minute.
        """
        for folder in (self._parent, *self._shared[:1]):
            _keep_open(Path(folder))
        try:
            _demand_room()
            works_in = (self._settings.started_in / configured).resolve() if configured else None
            return Place(self._parent, self._shared, works_in, listen=self._settings.listen)
        except OSError as error:
            self._problem, self._until = f"{error}", time.monotonic() + PAUSE_SECONDS
            _log.error("No flow run can be started here, none is taken for %.0f s: %s", PAUSE_SECONDS, error)
            raise

    @property
    def problem(self) -> str | None:
        """Why no run is to be taken now, such as "no runs can be started: [Errno 28] No space left on device: …"."""
        return f"no runs can be started: {self._problem}" if time.monotonic() < self._until else None


def _demand_room() -> None:
    """By having as many threads as an engine, for a moment: that asks every limit that there is, cgroup's and user's.

    Raises:
        OSError: there cannot be as many.
    """
    seen, threads = threading.Event(), list[threading.Thread]()
    try:
        for _ in range(_THREADS):
            thread = threading.Thread(target=seen.wait)
            thread.start()
            threads.append(thread)
    except RuntimeError:
        raise OSError(errno.EAGAIN, "no room for its processes: other runs have taken it") from None
    finally:
        seen.set()
        for thread in threads:
            thread.join()


def _keep_open(path: Path) -> None:
    """What belongs to this user stays usable: Landlock lets a run change the mode of folders that it cannot write."""
    for folder in (*reversed(path.parents), path):
        with contextlib.suppress(OSError):
            found = folder.stat()
            if found.st_uid == os.geteuid() and found.st_mode & stat.S_IRWXU != stat.S_IRWXU:
                folder.chmod(stat.S_IMODE(found.st_mode) | stat.S_IRWXU)


def _shows_others(folder: Path, places: Path) -> bool:
    """Whether who may read this folder, with all below it, may read what belongs to other runs."""
    if places.is_relative_to(folder):
        return True
    first = folder.relative_to(places).parts[0] if folder.is_relative_to(places) else ""
    return first.startswith(_PREFIX) and first.endswith(_SUFFIX)


class Place:
    """One run's own folders, which go when the context ends."""

    def __init__(self, parent: str, shared: Sequence[str], configured: Path | None, *, listen: bool) -> None:
        """Make them: `run` to work in, `tmp` for temporary files, `home` for what programs keep there."""
        own = Path(tempfile.mkdtemp(_SUFFIX, _PREFIX, parent))
        self._folder = str(own)
        try:
            for name in ("run", "tmp", "home"):
                (own / name).mkdir(mode=0o700)
        except OSError:
            removal.remove(self._folder)
            raise
        self.cwd = configured or own / "run"
        self.own = {"TMPDIR": str(own / "tmp"), "HOME": str(own / "home")}
        readable = [str(own), *shared, *([] if _shows_others(self.cwd, Path(parent)) else [str(self.cwd)])]
        self.domain = Domain(writable=[str(own), *shared], readable=readable, hidden=parent, listen=listen)

    def variables(self, environment: Mapping[str, str]) -> dict[str, str]:
        """Its folders as variables, unless the run's environment names others than the worker's."""
        return {name: value for name, value in self.own.items() if environment.get(name) == os.environ.get(name)}

    async def __aenter__(self) -> Self:
        """The folders are there."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Remove them, beside the event loop: a run may leave a million files."""
        with anyio.CancelScope(shield=True):
            try:
                await anyio.to_thread.run_sync(removal.remove, self._folder)
            except RuntimeError:  # no room for a thread beside the event loop
                removal.remove(self._folder)
