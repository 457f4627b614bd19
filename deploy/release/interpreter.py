"""The Python that the deploy brings to a host that has none that fits: which one, and the archive of it.

It is python-build-standalone's, by `uv python install`, which checks the digest that uv itself carries. Where uv cannot
fetch it, the interpreter that runs the deploy serves, if it can be moved to the host.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import re
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from deploy import spec
from deploy.release import movable, scratch
from deploy.release.movable import InterpreterError

if TYPE_CHECKING:
    from deploy.state import HostState

FOLDER = scratch.SCRATCH / "python"
UV = Path(sys.executable).with_name("uv")
UV_SECONDS = 900
# What uv's name of a platform says, where it is not the kernel's.
ARCHES = {"arm64": "aarch64", "amd64": "x86_64"}


@dataclass(frozen=True)
class Brought:
    """An interpreter as it travels: an archive of `bin/` and `lib/`, its SHA-256 in hex, and what it becomes there.

    `source`: where it came from, in words.
    """

    file: Path
    digest: str
    name: str
    version: str
    source: str


def settle(state: HostState, wish: str) -> HostState:
    """What was found on a host, with the interpreter that a deploy would bring in place of one that does not fit."""
    hidden = state.python_prefix.startswith(spec.HIDDEN)
    lacks = state.problem == "python" or (not state.problem and (hidden or not state.python_fits))
    if not lacks or wish.startswith("/") or not state.libc.startswith("glibc-"):
        return state
    version = known(wish, state.machine)
    if not version:
        return state
    prefix, minor = f"{spec.PYTHON}/{version}", version.rpartition(".")[0]
    return replace(
        state,
        brings=version,
        python=f"{prefix}/bin/python{minor}",
        python_prefix=prefix,
        python_version=version,
        found=state.found or state.python_version,
    )


@cache
def known(wish: str, machine: str) -> str:
    """The newest version that uv knows for a wish and a machine; empty when it knows none. Asks no network."""
    listed = json.loads(_uv("list", "--offline", "--only-downloads", "--output-format", "json", request(wish, machine)))
    return str(listed[0]["version"]) if listed else ""


def request(wish: str, machine: str) -> str:
    """The wish in uv's words: `cpython-3.12-linux-x86_64-gnu`. Pure."""
    return f"cpython-{spec.PYTHONS[0] if wish == spec.AUTO else wish}-linux-{ARCHES.get(machine, machine)}-gnu"


@cache
def archive(wish: str, machine: str, libc: str) -> Brought:
    """The interpreter for one kind of host, packed; once in a process.

    Args:
        wish: as in HUBLAB_PYTHON: `auto`, `3.12` or `3.12.16`.
        machine: the host's, `x86_64`.
        libc: the host's, `glibc-2.36`.

    Raises:
        InterpreterError: there is none; the message says why, and what to do.
    """
    with scratch.alone(scratch.SCRATCH):
        FOLDER.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=FOLDER, prefix=".making-") as made:
            tree = Path(made, "tree")
            try:
                version, source = _download(wish, machine, Path(made, "uv"), tree), "python-build-standalone"
            except InterpreterError as error:
                version, source = (
                    _own(wish, machine, libc, tree, error),
                    f"this machine's {sys.base_prefix}; uv's could not be had: {error}",
                )
            return _pack(tree, version, source)


def _download(wish: str, machine: str, into: Path, tree: Path) -> str:
    """What uv fetches; it holds each archive, a kept one too, to the digest that it carries."""
    _uv("install", "--no-bin", "--install-dir", str(into), request(wish, machine))
    (found,) = (path for path in into.glob("cpython-*") if path.is_dir() and not path.is_symlink())
    version = found.name.split("-")[1]
    movable.gather(found, version.rpartition(".")[0], tree)
    return version


def _own(wish: str, machine: str, libc: str, tree: Path, reason: InterpreterError) -> str:
    """The interpreter that runs this very program, moved, where it fits.

    Raises:
        InterpreterError: it does not; with both reasons.
    """
    try:
        movable.demand_alike(wish, machine, libc)
        return movable.own(tree)
    except InterpreterError as second:
        what = f"a Python for the host could not be had: {reason}\nthis machine's own cannot serve: {second}"
        raise InterpreterError(f"{what}\n    -> {REMEDY}") from None


REMEDY = (
    "let this machine reach uv's index (UV_PYTHON_INSTALL_MIRROR names another), or install Python 3.12 on the host"
)


def _uv(*arguments: str) -> str:
    command = [str(UV), "python", *arguments, "--no-config"]
    environment: dict[str, str] = {**os.environ, "UV_PYTHON_CACHE_DIR": str(FOLDER / "downloads")}
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=UV_SECONDS, check=False, env=environment, cwd="/"
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise InterpreterError(f"uv: {error}") from error
    if done.returncode:
        lines = [re.sub(r"^\s*(error|cause|Caused by): ?", "", line).strip() for line in done.stderr.splitlines()]
        raise InterpreterError("; ".join(line for line in lines if line)[:600] or f"uv ended with {done.returncode}")
    return done.stdout


def _pack(tree: Path, version: str, source: str) -> Brought:
    """One archive; of the same files it is the same, so its digest can name the folder that it becomes."""
    fresh = FOLDER / "fresh.tar.gz"
    with (
        fresh.open("wb") as out,
        gzip.GzipFile(fileobj=out, mode="wb", compresslevel=4, filename="", mtime=0) as packed,
        tarfile.open(fileobj=(content := scratch.Digest(packed)), mode="w|") as tar,
    ):
        for path in sorted(tree.rglob("*")):
            tar.add(path, str(path.relative_to(tree)), recursive=False, filter=_plain)
    name = f"{version}-{content.total.hexdigest()[:10]}"
    file = fresh.rename(FOLDER / f"{name}.tar.gz")
    scratch.prune(FOLDER, "*.tar.gz")
    with file.open("rb") as stream:
        return Brought(file, hashlib.file_digest(stream, "sha256").hexdigest(), name, version, source)


def _plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Nothing of this machine's but the content: no owner, no time, no other mode."""
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    member.mtime = 0
    member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
    return member
