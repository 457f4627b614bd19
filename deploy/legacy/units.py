"""Whether a systemd unit starts a Prefect worker, by its own settings; systemd is asked, and no name is believed."""

from __future__ import annotations

import glob
import os
import re
import stat
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from deploy.legacy.environment import executable, is_python, starts_worker, worker_start
from deploy.onhost.common import ask, read
from deploy.onhost.processes import parent
from deploy.onhost.state import LegacyUnit
from deploy.onhost.untrusted import printable

if TYPE_CHECKING:
    from collections.abc import Collection

# systemctl(1), show: each command of a unit as `{ path=… ; argv[]=… ; ignore_errors=… ; …}`.
COMMAND = re.compile(r"\{ path=(.*?) ; argv\[\]=(.*?) ; (?:ignore_errors|flags)=")
# systemd.unit(5): the search path of system units.
FOLDERS = (
    "/etc/systemd/system",
    "/run/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
)
SHELLS = ("sh", "dash", "bash", "ash", "busybox", "zsh", "ksh")
# What stands between a unit's main process and a worker, and serves nothing but that worker.
WRAPPERS = (*SHELLS, "env", "nice", "runuser", "setpriv", "su", "sudo", "timeout", "tini", "dumb-init", "uv", "uvx")
# A shell's line which prepares, and then is the worker; one that does anything beside is somebody's program.
PLAIN = re.compile(
    r"(?:(?:cd|source|\.|export|set|umask) [^;&|<>`$()]*(?:&&|;) ?)*(?:exec )?(?:\w+=[^\s;&|<>`()]* )*"
    r"(?P<command>[^\s;&|<>`()]*(?: [^;&|<>`()]*)?)"
)
OWN = 3  # of FOLDERS: the others are packages'
OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


def is_start(words: list[str]) -> bool:
    """Whether a command starts a worker directly, or by a line of shell that does nothing else. Pure."""
    words = list(words)
    if words and os.path.basename(words[0]) == "env":
        del words[0]
        while words and "=" in words[0]:
            del words[0]
    if not words:
        return False
    program = os.path.basename(words[0])
    if program in SHELLS and words[1:2] == ["-c"]:
        line = PLAIN.fullmatch(" ".join(words[2:]).strip())
        return line is not None and is_start(line["command"].split())
    if program == "prefect":
        return worker_start(words[1:])
    return is_python(program) and starts_worker(words)


def show(names: list[str]) -> dict[str, dict[str, str]]:
    """Unit → what systemd knows of it."""
    if not names:
        return {}
    wanted = "Id,ExecStart,FragmentPath,UnitFileState,ActiveState,MainPID,LoadState,Names,TriggeredBy"
    blocks = ask("systemctl", "show", f"--property={wanted}", "--", *names).split("\n\n")
    found = [dict(line.partition("=")[::2] for line in block.splitlines()) for block in blocks]
    return {unit["Id"]: unit for unit in found if "Id" in unit}


def starts(unit: dict[str, str]) -> bool:
    """Whether a unit's own ExecStart starts a worker. Pure."""
    return any(is_start(argv.split()) for _, argv in COMMAND.findall(unit.get("ExecStart", "")))


def program_of(unit: dict[str, str]) -> str:
    """What a unit executes, for a person. Pure."""
    return next((printable(path) for path, _ in COMMAND.findall(unit.get("ExecStart", ""))), "")


def is_ours(path: str, base: str) -> bool:
    """Whether a unit's file is one that a deploy wrote: root's alone, and it starts a release's worker."""
    try:
        info = os.lstat(path)
    except OSError:
        return False
    line = rf"^ExecStart={re.escape(base)}/releases/[\w.+-]+/venv/bin/python(?: -\w+)* -m (?:worker|flows)\b"
    alone = stat.S_ISREG(info.st_mode) and info.st_uid == 0 and not info.st_mode & OTHERS_WRITE
    return alone and re.search(line, read(path).decode(errors="replace"), re.MULTILINE) is not None


def candidates(prefix: str) -> set[str]:
    """The services that may be a worker's, since a file of theirs speaks of Prefect, or that are called as ours are.

    systemd knows hundreds of units, and takes seconds to tell of all; a template is asked for as its instances.
    """
    files = [path for folder in FOLDERS for path in glob.glob(f"{folder}/*.service")]
    drop_ins = [path for folder in FOLDERS for path in glob.glob(f"{folder}/*.service.d/*.conf")]
    named = [(os.path.basename(path), path) for path in files]
    named += [(os.path.basename(os.path.dirname(path)).removesuffix(".d"), path) for path in drop_ins]
    names = {name for name, path in named if name.startswith(prefix) or b"prefect" in read(path)}
    patterns = [f"{prefix}*.service", *(name.replace("@.", "@*.") for name in names if "@." in name)]
    known = ask("systemctl", "list-units", "--all", "--full", "--plain", "--no-legend", "--no-pager", "--", *patterns)
    names |= {line.split()[0] for line in known.splitlines() if line.split()}
    wants = {os.path.basename(path) for folder in FOLDERS for path in glob.glob(f"{folder}/*.wants/*@*.service")}
    names |= {name for name in wants for pattern in patterns if fnmatchcase(name, pattern)}
    return {name for name in names if "@." not in name}


def written() -> dict[str, str]:
    """The files that somebody wrote for services of this host, not a package: path → the unit that it is of."""
    services = [path for folder in FOLDERS[:OWN] for path in glob.glob(f"{folder}/*.service")]
    drop_ins = [path for folder in FOLDERS[:OWN] for path in glob.glob(f"{folder}/*.service.d/*.conf")]
    found = {path: os.path.basename(path) for path in sorted(services)}
    return found | {path: os.path.basename(os.path.dirname(path)).removesuffix(".d") for path in sorted(drop_ins)}


def starting(names: set[str], told: Collection[str]) -> dict[str, str]:
    """Those of these units, but for `told`, that come by themselves, at a boot or a time → what is to be disabled."""
    wants = {os.path.basename(path) for folder in FOLDERS for path in glob.glob(f"{folder}/*.wants/*@*.service")}
    of = {name: name for name in names if "@." not in name}
    of |= {one: name for name in names if "@." in name for one in wants if fnmatchcase(one, name.replace("@.", "@*."))}
    found: dict[str, str] = {}
    for unit, state in show(sorted(of.keys() - set(told))).items():
        kind, by = state.get("UnitFileState", ""), state.get("TriggeredBy", "").split()
        if unit in of and not kind.startswith("masked") and (by or kind.startswith(("enabled", "generated"))):
            found[of[unit]] = by[0] if by else unit
    return found


def others(base: str, prefix: str) -> tuple[tuple[LegacyUnit, ...], tuple[str, ...]]:
    """Each unit, other than ours, whose own ExecStart starts a worker; and what else goes by the name of one of ours.

    Args:
        base: where our releases are.
        prefix: how the names of our units begin, before their number.
    """
    found = {
        name: unit
        for name, unit in show(sorted(candidates(prefix))).items()
        if unit.get("LoadState") == "loaded" and not is_ours(unit.get("FragmentPath", ""), base)
    }
    legacy = tuple(
        LegacyUnit(
            name,
            file=unit.get("FragmentPath", ""),
            active=unit.get("ActiveState") == "active",
            enabled=unit.get("UnitFileState", "").startswith("enabled"),
        )
        for name, unit in sorted(found.items())
        if starts(unit)
    )
    named = {name for name in found if name.removeprefix(prefix).removesuffix(".service").isdecimal()}
    return legacy, tuple(sorted(named - {item.name for item in legacy}))


def serves_only(pid: int, unit: dict[str, str]) -> bool:
    """Whether a unit is there for this process alone: it is its main one, or was started by it through wrappers."""
    main, seen = int(unit.get("MainPID") or 0), pid
    while main and seen > 1:
        if seen == main:
            return True
        seen = parent(seen)
        if os.path.basename(executable(seen)) not in WRAPPERS:
            return False
    return False
