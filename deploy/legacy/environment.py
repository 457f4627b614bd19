"""Which Python environment a process runs from, and what is installed there, by names of files: nothing is run."""

from __future__ import annotations

import os
import re
from functools import cache

from deploy.onhost.untrusted import names, of_proc

INTERPRETER = re.compile(r"python(\d+(\.\d+)?)?")
# An argument list's options of the interpreter itself, which come before the program; these two take a value.
WITH_VALUE = ("-W", "-X")
SITE = re.compile(rb"^\S+ \S+ \S+ \S+ \S+ +(/.*?/(?:site|dist)-packages)/", re.MULTILINE)
FOLDERS = re.compile(r"python\d(\.\d+)?")


def executable(pid: int) -> str:
    """What the kernel says a process executes; empty when it is gone. A file that was replaced keeps its name."""
    try:
        return os.readlink(f"/proc/{pid}/exe").removesuffix(" (deleted)")
    except OSError:
        return ""


def is_python(path: str) -> bool:
    """Whether an executable is called as an interpreter is."""
    return INTERPRETER.fullmatch(os.path.basename(path)) is not None


def starts_worker(argv: list[str]) -> bool:
    """Whether these are an interpreter's arguments for `prefect worker start`. Pure."""
    words = argv[1:]
    while words and words[0].startswith("-") and words[0] != "-m":
        del words[: 2 if words[0] in WITH_VALUE else 1]
    if words[:1] == ["-m"]:
        del words[0]
        if words[:1] != ["prefect"]:
            return False
    return bool(words) and os.path.basename(words[0]) == "prefect" and worker_start(words[1:])


def worker_start(words: list[str]) -> bool:
    """Whether what follows `prefect` is `worker start`, with prefect's own options before. Pure."""
    rest = list(words)
    while rest and rest[0].startswith("-"):
        del rest[: 2 if rest[0] in ("-p", "--profile") else 1]
    return rest[:2] == ["worker", "start"]


def interpreter(argv: list[str], found: str) -> str:
    """The interpreter as it was called, where that leads to what is executed: a venv's is a link; else the executable.

    Args:
        argv: of the process.
        found: what the kernel says that it executes.
    """
    called = argv[0] if argv else ""
    return called if os.path.isabs(called) and os.path.realpath(called) == found else found


def sites(pid: int, python: str) -> list[str]:
    """The folders of packages that a process has mapped files of, then those beside its interpreter."""
    mapped = [os.fsdecode(path) for path in SITE.findall(of_proc(f"/proc/{pid}/maps"))]
    prefix = os.path.dirname(os.path.dirname(python))
    beside = [
        f"{library}/{name}/{kind}"
        for library in (f"{prefix}/lib", f"{prefix}/local/lib")
        for name in sorted(names(library))
        if FOLDERS.fullmatch(name)
        for kind in ("site-packages", "dist-packages")
    ]
    return list(dict.fromkeys(os.path.realpath(path) for path in [*mapped, *beside] if os.path.isdir(path)))


@cache
def versions(site: str, package: str) -> list[str]:
    """The versions of a package in a folder, by the names of their metadata; one, where nothing is broken."""
    known = re.compile(rf"{package}-([0-9][0-9A-Za-z.+!_]*?)(?:-py\d[\d.]*)?\.(?:dist|egg)-info", re.IGNORECASE)
    return sorted(found[1] for name in names(site) if (found := known.fullmatch(name)))
