"""What the on-host programs share. Standard library only, Python 3.11 or later."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class HostError(RuntimeError):
    """Something on the host went wrong; the message is for the operator."""


def read(path: str | Path) -> bytes:
    """A file's bytes; empty when it is gone or not ours to read."""
    try:
        return Path(path).read_bytes()
    except OSError:
        return b""


def ask(*argv: str) -> str:
    """A program's standard output; empty when it is missing or slow."""
    try:
        return subprocess.run(argv, capture_output=True, text=True, timeout=20, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""


def must(*argv: str, timeout: float = 600, stdin: str | None = None) -> str:
    """A program's standard output.

    Raises:
        HostError: it failed, is missing, or took longer than `timeout` seconds; with its last lines.
    """
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=timeout, check=False, input=stdin)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise HostError(f"{' '.join(argv[:4])} …: {error}") from error
    if done.returncode:
        tail = "\n".join((done.stderr or done.stdout).strip().splitlines()[-8:])
        raise HostError(f"{' '.join(argv[:4])} … ended with status {done.returncode}:\n{tail}")
    return done.stdout


def harmless(text: str) -> str:
    """Text that does nothing to a terminal but go on to the next line: a process's own words may be in it."""
    return "".join(char if char.isprintable() or char == "\n" else "?" for char in text)


def counted(number: int, one: str, more: str) -> str:
    """A number with the words that agree with it: `1 run is`, `2 runs are`."""
    return f"{number} {one if number == 1 else more}"


def say(text: str) -> None:
    """One line of progress for the operator; when nobody listens any more, the work goes on."""
    try:
        print(harmless(text), flush=True)
    except OSError:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - for the rest of the process


def write_atomically(path: str | Path, content: str, mode: int) -> None:
    """Writes beside the target and renames: a reader sees the old file or the new one, also after a power cut."""
    target = Path(path)
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            os.fchmod(stream.fileno(), mode)
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        Path(name).replace(target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    sync_folder(target.parent)


def sync_folder(folder: Path) -> None:
    """Makes a rename in a folder last."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def tree_digest(root: Path, names: Iterable[str]) -> str:
    """One digest over the named files below a folder and their contents."""
    total = hashlib.sha256()
    for name in sorted(names):
        there = (root / name).is_file()
        total.update(name.encode() + b"\0" + (hashlib.sha256(read(root / name)).digest() if there else b"absent"))
    return total.hexdigest()


def shipped(release: Path) -> list[str]:
    """The code files that a release holds: a file that somebody added is one that was not shipped."""
    files = (path for folder in ("worker", "flows") for path in (release / folder).rglob("*") if path.is_file())
    return sorted(str(path.relative_to(release)) for path in files if "__pycache__" not in path.parts)


def packages(release: Path) -> list[str]:
    """The distributions in a release's venv, as `name-version`, by their metadata folders."""
    return sorted(
        path.name.removesuffix(".dist-info") for path in release.glob("venv/lib/python3*/site-packages/*.dist-info")
    )


def guard_digest(release: Path) -> str:
    """One digest over all .pth files of a release's venv: the one that keeps uvloop out, and none that undoes it."""
    found = sorted(release.glob("venv/lib/python3*/site-packages/*.pth"))
    return hashlib.sha256(b"".join(path.name.encode() + b"\0" + read(path) for path in found)).hexdigest()


@dataclass(frozen=True, kw_only=True)
class Revision:
    """What a release was when it was finished; `code`, `guard` and `lock` are digests. Every release reads it."""

    id: str = ""
    prefect: str = ""
    python: str = ""
    lock: str = ""
    built: str = ""
    code: str
    code_files: Sequence[str]
    guard: str
    packages: Sequence[str]


def revision(release: Path) -> Revision | None:
    """What was written down when a release was finished; None while it is not."""
    try:
        found = json.loads((release / "REVISION").read_text())
        return Revision(**{one.name: found[one.name] for one in fields(Revision) if one.name in found})
    except (OSError, ValueError, TypeError):
        return None
