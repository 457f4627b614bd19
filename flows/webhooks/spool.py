"""Payloads on disk until Prefect has them: written, synced and named in this order, so that a 202 is kept."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import threading
import time
import uuid
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MAX_WAITING = 100_000
WRITTEN_SECONDS = 600  # an older file is one that nobody writes any more

BROKEN = "broken"  # the folder for what cannot be read
# What an entry of each kind must have: texts, but for what is named beside.
NEEDED = {
    "enrolment": ("key", "campaign", "sequence", "payload", "received_at"),
    "suppression": ("event",),
    "event": ("event",),
    "booking": ("booking",),
    "confirmation": ("enrolment", "at"),
    "alarm": ("alarm", "text"),
}
# What is an object → the texts that it must have.
PARTS = {"payload": (), "event": ("email",), "booking": ("email", "status", "at", "booking")}
log = logging.getLogger("hublab.webhooks")


class SpoolFullError(Exception):
    """More payloads wait than the disk is to hold: the caller is to try again later."""


class Spool:
    """One folder, one file per payload, named by the payload's key: a second delivery is the same file."""

    def __init__(self, folder: Path) -> None:
        """The folder is made when it is missing; half-written files of an earlier process are removed."""
        self.folder = folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for left in folder.glob("*.part"):
            if time.time() - (_written(left) or 0) > WRITTEN_SECONDS:
                left.unlink(missing_ok=True)
        # What waits, and since when (Unix time): nobody who asks has to look at files that go meanwhile.
        self._since: dict[str, float] = {}
        self._lock = threading.Lock()
        self.look()
        self.broken = len(list((folder / BROKEN).glob("*.json")))

    @property
    def waiting(self) -> int:
        """How many entries wait."""
        return len(self._since)

    def put(self, key: str, entry: dict[str, Any]) -> None:
        """Keep an entry; it is on disk when this returns. The first of one key stays.

        Raises:
            SpoolFullError: `MAX_WAITING` entries wait.
            OSError: the disk is full or gone.
        """
        path = self.path(key)
        if path.exists():
            self._sync()  # whoever wrote it may not have come that far
            return
        if self.waiting >= MAX_WAITING:
            raise SpoolFullError(f"{self.waiting} payloads wait in {self.folder}")
        # Without a lock: the file system syncs what several threads ask for at once in one go.
        part = path.with_suffix(f".{uuid.uuid4().hex}.part")
        try:
            with part.open("xb") as file:
                file.write(json.dumps({"key": key, **entry}).encode())
                file.flush()
                os.fsync(file.fileno())
            with self._lock:
                part.rename(path)
                self._since.setdefault(path.name, time.time())
        except OSError:
            part.unlink(missing_ok=True)
            raise
        self._sync()

    def path(self, key: str) -> Path:
        """Where the entry of a key lies."""
        return self.folder / f"{hashlib.sha256(key.encode()).hexdigest()}.json"

    def look(self) -> list[Path]:
        """The files that wait, the oldest first: in a redeploy another process writes and hands on here as well."""
        with self._lock:
            there = {path.name: self._since.get(path.name) or _written(path) for path in self.folder.glob("*.json")}
            self._since = {name: since for name, since in there.items() if since is not None}
            return [self.folder / name for name in sorted(self._since, key=self._since.__getitem__)]

    def entries(self) -> Iterator[tuple[Path, dict[str, Any]]]:
        """What waits, the oldest first; a file that is no entry is set aside, so that nothing waits behind it."""
        for path in self.look():
            try:
                yield path, _entry(path.read_bytes())
            except (OSError, ValueError, RecursionError) as error:
                self._set_aside(path, error)

    def _set_aside(self, path: Path, error: Exception) -> None:
        aside = self.folder / BROKEN
        aside.mkdir(mode=0o700, exist_ok=True)
        with self._lock:
            self._since.pop(path.name, None)
            try:
                path.rename(aside / path.name)
            except FileNotFoundError:  # the other process has handed it on
                return
            self.broken += 1
        log.error("a file of the spool is no entry (%s); it lies in %s", error, aside / path.name)

    def done(self, path: Path) -> None:
        """Remove an entry that is safe elsewhere."""
        with self._lock:
            path.unlink(missing_ok=True)
            self._since.pop(path.name, None)

    def oldest(self) -> float | None:
        """When the oldest entry came, as a Unix time; None when nothing waits."""
        with self._lock:
            return min(self._since.values(), default=None)

    def _sync(self) -> None:
        folder = os.open(self.folder, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _written(path: Path) -> float | None:
    """When a file was written, as a Unix time; None for one that is gone."""
    try:
        return path.lstat().st_mtime
    except FileNotFoundError:
        return None


def _entry(text: bytes) -> dict[str, Any]:
    """Raises ValueError: not an entry."""
    found = json.loads(text)
    if not isinstance(found, dict) or not isinstance(found.get("kind"), str):
        raise ValueError("not an object with a kind")  # noqa: TRY004 - whatever it is, it is set aside
    missing = [name for name in NEEDED.get(found["kind"], ()) if name not in found]
    if missing or found["kind"] not in NEEDED:
        raise ValueError(f"the kind {found['kind']!r} without {', '.join(missing) or 'a meaning'}")
    for name in NEEDED[found["kind"]]:
        _check(name, found[name])
    return found


def _check(name: str, value: Any) -> None:
    """Raises ValueError: what waits behind it must not wait for what nobody can deliver."""
    if name not in PARTS:
        whole = isinstance(value, str)
    elif whole := isinstance(value, dict):
        needed = {*PARTS[name], *({"at", "email_id", "status"} & value.keys())}
        if name == "event" and not value.get("unsubscribe"):
            needed |= {"email_id", "status"}
        whole = all(isinstance(value.get(one), str) for one in needed)
    if not whole:
        raise ValueError(f"{name} is not what it must be")
