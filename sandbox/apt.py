"""Debian packages for the operator's own machine, also where others install some at the same moment."""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sandbox.errors import SandboxError
from sandbox.shell import run, step

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# apt-get waits for dpkg's lock where it is told to, and never for that of its lists: a machine that has just
# booted refreshes them by itself, and two lanes of the tests do at once.
_LISTS = Path("/var/lib/apt/lists/lock")
_OURS = Path("/run/lock/hublab-apt")
_WAIT_SECONDS = 600


def install(packages: Sequence[str]) -> None:
    """Install Debian packages with apt-get, as root; waits its turn where another apt-get is at work.

    Raises:
        SandboxError: apt-get failed, or another one was at work for ten minutes; it carries what was said.
    """
    _get("installing", packages)


def download(packages: Sequence[str], status: Path, folder: Path) -> None:
    """Fetch Debian packages, and all that a system of this machine's suite lacks for them, into a folder.

    Args:
        packages: Their names.
        status: That system's list of what it has, its `/var/lib/dpkg/status`.
        folder: Where they are to lie; what is there already is fetched no second time.

    Raises:
        SandboxError: As for `install`.
    """
    (folder / "partial").mkdir(parents=True, exist_ok=True)
    where = ["-o", f"Dir::State::status={status}", "-o", f"Dir::Cache::archives={folder}"]
    _get("fetching", packages, "--download-only", *where)


def _get(what: str, packages: Sequence[str], *more: str) -> None:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    patient = ["-q", "-o", f"DPkg::Lock::Timeout={_WAIT_SECONDS}"]
    with step(f"{what} {' '.join(packages)} with apt-get"), _turn():
        for command in (["update"], ["install", "-y", "--no-install-recommends", *more, *packages]):
            run(["apt-get", *command[:1], *patient, *command[1:]], timeout=2 * _WAIT_SECONDS, env=environment)


@contextmanager
def _turn() -> Iterator[None]:
    with _OURS.open("a") as ours:
        fcntl.flock(ours, fcntl.LOCK_EX)
        _wait_for_others()
        yield


def _wait_for_others() -> None:
    """Apt's locks are POSIX ones: asked for and let go of at once, since apt-get takes it itself."""
    until = time.monotonic() + _WAIT_SECONDS
    with _LISTS.open("a") as lists:
        while True:
            try:
                fcntl.lockf(lists, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if time.monotonic() > until:
                    raise SandboxError(
                        f"{_LISTS}: another apt-get has held it for {_WAIT_SECONDS // 60} minutes; "
                        "remedy: look at it with `fuser -v`, and try again when it is done"
                    ) from error
                time.sleep(1)
            else:
                return
