"""What the worker is told by its environment, checked before anything else is loaded."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from worker.connection import Connection, connection

if TYPE_CHECKING:
    from collections.abc import Mapping

EX_CONFIG = 78
"""Exit status for a setting that must be mended by hand, after sysexits.h; systemd need not restart on it."""

# Prefect refuses "/" and "%" in a worker's name; the rest keeps it usable as part of a queue's name and in an address.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")

_KEPT = ("PREFECT_HOME", "TMPDIR", "HOME")


class SettingError(Exception):
    """A setting is missing or wrong. The text names the key, the value and the remedy."""


@dataclass(frozen=True)
class WorkerSettings:
    """One worker, as its environment describes it.

    `concurrency` is the number of customers' flow runs at a time; the probe's run comes on top of it.
    `drain_seconds` is how long runs in flight may go on after the worker was told to stop.
    `write_paths` are folders that each flow run may write, beside its own; HUBLAB_WRITE_PATHS has colons between them.
    `listen` is whether flow runs may bind TCP sockets: HUBLAB_ALLOW_LISTEN=yes.
    `variables` are what each flow run finds in its environment beside the worker's own; HUBLAB_ENVIRONMENT names a file
    of JSON that has them. They may be secrets.
    `started_in` is the folder from which a run's relative `working_dir` is seen.
    """

    name: str
    pool: str
    queues: tuple[str, ...]
    concurrency: int
    drain_seconds: int
    write_paths: tuple[str, ...]
    listen: bool
    release: str
    variables: Mapping[str, str] = field(repr=False)
    started_in: Path
    api: Connection

    @property
    def probe_queue(self) -> str:
        """The work queue that this worker alone polls."""
        return probe_queue(self.name)


def probe_queue(worker: str) -> str:
    """The work queue that only the worker of this name polls."""
    return f"probe-{worker}"


def from_environment(environ: Mapping[str, str]) -> WorkerSettings:
    """Read and check the settings.

    Raises:
        SettingError: a key is missing or its value is not usable.
    """
    try:
        api = connection(environ)
    except ValueError as error:
        raise SettingError(str(error)) from error
    return WorkerSettings(
        name=_name("HUBLAB_WORKER_NAME", environ.get("HUBLAB_WORKER_NAME", "")),
        pool=_name("HUBLAB_WORK_POOL", environ.get("HUBLAB_WORK_POOL", "default")),
        queues=_names("HUBLAB_WORK_QUEUES", environ.get("HUBLAB_WORK_QUEUES", "default")),
        concurrency=_number(environ, "HUBLAB_CONCURRENCY", default=4, least=1, most=256),
        drain_seconds=_number(environ, "HUBLAB_DRAIN_SECONDS", default=900, least=0, most=86_400),
        write_paths=_folders("HUBLAB_WRITE_PATHS", environ),
        listen=may_listen(environ),
        release=environ.get("HUBLAB_RELEASE", "unreleased"),
        variables=_variables("HUBLAB_ENVIRONMENT", environ),
        started_in=Path.cwd(),
        api=api,
    )


def may_listen(environ: Mapping[str, str]) -> bool:
    """Whether flow runs may bind TCP sockets.

    Raises:
        SettingError: it is neither yes nor no.
    """
    value = environ.get("HUBLAB_ALLOW_LISTEN", "no")
    if value not in {"yes", "no"}:
        raise SettingError(f"HUBLAB_ALLOW_LISTEN: {value!r} is neither yes nor no")
    return value == "yes"


def _name(key: str, value: str) -> str:
    if not value:
        raise SettingError(f"{key}: not set; give it a name, such as hublab-1")
    if not _NAME.fullmatch(value):
        raise SettingError(f"{key}: {value!r} is not a name; use letters, digits, '.', '_' and '-', at most 63")
    return value


def _names(key: str, value: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(_name(key, part.strip()) for part in value.split(",")))
    if reserved := [name for name in names if name.startswith("probe-")]:
        raise SettingError(f"{key}: {reserved[0]!r} is a probe's queue; name the queues of customers' runs only")
    return names


def _folders(key: str, environ: Mapping[str, str]) -> tuple[str, ...]:
    named = (part.strip() for part in environ.get(key, "").split(":"))
    return tuple(dict.fromkeys(_folder(key, part, environ) for part in named if part))


def _folder(key: str, value: str, environ: Mapping[str, str]) -> str:
    """Its path without links. Nothing in it may be code or settings of the worker or of the next run."""
    if not value.startswith("/"):
        raise SettingError(f"{key}: {value!r} is no absolute path; it begins with /")
    folder = Path(value).resolve()
    if not folder.is_dir():
        raise SettingError(f"{key}: {value} is no folder here; make it, or leave it out")
    kept = [Path(__file__), Path(sys.prefix), *(Path(environ[name]) for name in _KEPT if environ.get(name))]
    for own in kept:
        if own.resolve().is_relative_to(folder):
            raise SettingError(f"{key}: {value} holds {own}, which no flow run may write; name a folder below it")
    return str(folder)


def _variables(key: str, environ: Mapping[str, str]) -> dict[str, str]:
    named = environ.get(key, "")
    try:
        found = json.loads(Path(named).read_bytes()) if named else {}
        return {str(name): str(value) for name, value in found.items()}
    except (OSError, ValueError, AttributeError) as error:
        # Not the parser's own words: they may quote a value.
        raise SettingError(f"{key}: {named} cannot be read ({type(error).__name__}); deploy again") from None


def _number(environ: Mapping[str, str], key: str, *, default: int, least: int, most: int) -> int:
    value = environ.get(key, str(default))
    if not value.isascii() or not value.isdigit() or not least <= int(value) <= most:
        raise SettingError(f"{key}: {value!r} is not {least}..{most}; give a whole number in that range")
    return int(value)
