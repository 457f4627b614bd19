"""Which processes of a host are Prefect workers of others, by what the kernel says of them; and which only say so."""

from __future__ import annotations

import glob
import os
import pwd
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from deploy.legacy.environment import executable, interpreter, is_python, sites, starts_worker, versions
from deploy.legacy.units import is_ours, program_of, serves_only, show, starts
from deploy.legacy.uvloop import found as uvloop_in
from deploy.onhost.common import HostError
from deploy.onhost.processes import CONTAINER, isolation, ticks, unit_of, user_unit_of
from deploy.onhost.state import Claim, Legacy
from deploy.onhost.untrusted import of_proc, printable

ARGUMENTS = 64 * 1024
MOST_CLAIMS = 20
MOST_WORKERS = 200


def arguments(pid: int) -> list[str]:
    """What a process says that it was started with. It can say whatever it likes."""
    words = of_proc(f"/proc/{pid}/cmdline", ARGUMENTS).decode(errors="surrogateescape").split("\0")
    return [word for word in words if word]


def says_so(argv: list[str], program: str) -> bool:
    """Whether an argument list reads like a worker's, whoever wrote it; also of one under a name of its own. Pure.

    Args:
        argv: what the process says.
        program: what it executes.
    """
    words = [os.path.basename(word) for word in argv]
    if "prefect" not in words or not ("python" in words[0] or is_python(program)):
        return False
    rest = words[words.index("prefect") + 1 :]
    return any(rest[i : i + 2] == ["worker", "start"] for i in range(len(rest)))


def name_in(argv: list[str]) -> str:
    """The worker's name in its arguments; empty when it has none, or one that no person would give. Pure."""
    following = [argv[i + 1] for i, word in enumerate(argv[:-1]) if word in ("--name", "-n")]
    joined = [word.partition("=")[2] for word in argv if word.startswith("--name=")]
    name = next(iter(following + joined), "")
    return name if name == printable(name) else ""


def user_name(uid: int) -> str:
    """Who that is, by the host's own list of users."""
    try:
        return printable(pwd.getpwuid(uid).pw_name)
    except KeyError:
        return str(uid)


@dataclass
class Origin:
    """Who started a process: `how` is `unit` or `wrapper` where a unit is there for it alone, else empty."""

    unit: str | None = None
    user_unit: str | None = None
    how: str = ""
    words: str = "started by hand"
    main: bool = False


@cache
def shown(unit: str) -> dict[str, str]:
    """What systemd knows of a unit: asked once, however many processes of it say that they are workers."""
    return show([unit]).get(unit, {})


def origin(pid: int) -> Origin:
    """Who started a process, by where systemd keeps it and by that unit's own settings."""
    name, inner = unit_of(pid), user_unit_of(pid)
    if name is None:
        words = f"unit {printable(inner)} of the user's own systemd" if inner else "started by hand"
        return Origin(user_unit=inner, words=words)
    unit = shown(name)
    main = unit.get("MainPID") == str(pid)
    if starts(unit):
        return Origin(name, how="unit", words=f"unit {name}", main=main)
    if serves_only(pid, unit):
        return Origin(name, how="wrapper", words=f"unit {name} through {program_of(unit)}", main=main)
    return Origin(name, words=f"started by {name}")


def worker(pid: int, argv: list[str], units: str, base: str) -> Legacy | Claim:
    """A worker that has been proven to be one, or a claim, and why that is not believed.

    Raises:
        OSError: it is gone.
    """
    uid = os.stat(f"/proc/{pid}").st_uid
    user, name = user_name(uid), name_in(argv)

    def claim(why: str, *, container: bool = False) -> Claim:
        return Claim(pid, user, name, why, container)

    by = origin(pid)
    if by.unit and is_ours(f"{units}/{by.unit}", base):
        return claim(f"it is a process of {by.unit}, which is this deploy's")
    where = isolation(pid)
    if where == CONTAINER or (where and not by.main):
        return claim(where, container=where == CONTAINER)
    program = executable(pid)
    if not is_python(program):
        return claim(f"it executes {printable(program) or 'nothing'}, which is no Python")
    if not starts_worker(argv):
        return claim("its arguments are not those of `prefect worker start`")
    python = interpreter(argv, program)
    folders = sites(pid, python)
    prefect = next((version for site in folders for version in versions(site, "prefect")), "")
    if not prefect:
        return claim(f"no Prefect is installed for {printable(python)}")
    return Legacy(
        pid,
        ticks(pid),
        user=user,
        uid=uid,
        unit=by.unit,
        user_unit=by.user_unit,
        how=by.how,
        origin=by.words,
        name=name,
        python=printable(python),
        prefect=printable(prefect),
        uvloop=uvloop_in(folders, uid, vouched=bool(by.how)),
    )


def everyone(units: str, base: str) -> tuple[tuple[Legacy, ...], tuple[Claim, ...]]:
    """The workers of others, and what only says that it is one: of those as many as an operator would read.

    Args:
        units: where our units are.
        base: where our releases are.

    Raises:
        HostError: there are more workers than any host has.
    """
    shown.cache_clear()
    versions.cache_clear()
    found: list[Legacy | Claim] = []
    for pid in sorted(int(Path(entry).name) for entry in glob.glob("/proc/[0-9]*")):
        argv = arguments(pid)
        if says_so(argv, executable(pid)):
            try:
                found.append(worker(pid, argv, units, base))
            except OSError:  # gone meanwhile
                continue
    claims = tuple(item for item in found if isinstance(item, Claim))
    workers = [item for item in found if isinstance(item, Legacy)]
    if len(workers) > MOST_WORKERS:
        users = ", ".join(sorted({item.user for item in workers}))
        raise HostError(
            f"{len(workers)} processes of {users} are Prefect workers, too many to take over: end those nobody needs"
        )
    leaves = {one.site for item in workers for one in item.uvloop if not one.stays}

    def decided(item: Legacy) -> Legacy:  # one environment, several workers: it is enough that one of them may decide
        return replace(item, uvloop=tuple(one for one in item.uvloop if not (one.stays and one.site in leaves)))

    return tuple(map(decided, workers)), claims[:MOST_CLAIMS]
