"""Looks at a host and prints one JSON object: all that the deploy needs to know, in one round trip; changes nothing."""

from __future__ import annotations

import ctypes
import glob
import hashlib
import json
import os
import platform
import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from deploy.legacy.former import Former, former
from deploy.legacy.units import is_ours
from deploy.onhost.addresses import reach
from deploy.onhost.api_facts import Server, api
from deploy.onhost.before import unfinished
from deploy.onhost.common import ask, guard_digest, packages, read, revision, shipped, tree_digest
from deploy.onhost.lock import describe, holder
from deploy.onhost.prefect_api import Access
from deploy.onhost.record import deploys
from deploy.onhost.state import FileFacts, HostState, PortFault, Release, Worker
from deploy.onhost.trust import doubts, ours
from deploy.onhost.unit_facts import unit_facts
from deploy.onhost.untrusted import printable
from deploy.onhost.webhooks_port import fault
from deploy.onhost.wire import Query, encode

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


@dataclass(frozen=True)
class Address:
    """Where the webhooks shall listen."""

    bind: str
    port: int


@dataclass(frozen=True, kw_only=True)
class InspectHost(Query):
    """What to look for: files, and how the names of users (`user`) and of workers' units (`unit`) begin.

    `kept`: whether the units of former releases are asked for too. `webhooks_port`: None where they shall not be.
    """

    kept: bool
    user: str
    unit: str
    webhooks: str
    webhooks_port: Address | None
    files: tuple[str, ...]
    pool: str
    access: Access


def release(path: Path) -> Release:
    """What a release folder holds, against what it held when it was finished."""
    written = revision(path)
    if written is None:
        return Release(path.name, complete=False)
    found, built = set(packages(path)), set(written.packages)
    return Release(
        path.name,
        complete=True,
        added=tuple(sorted(found - built)),
        missing=tuple(sorted(built - found)),
        code_changed=tree_digest(path, written.code_files) != written.code
        or shipped(path) != sorted(written.code_files),
        guard=guard_digest(path) == written.guard,
        prefect=written.prefect,
        python_prefix=str(Path(os.path.realpath(path / "venv/bin/python")).parent.parent),
    )


def file_facts(path: str) -> FileFacts | None:
    """Owner, mode and digest of one file; None when it is absent."""
    try:
        info = os.stat(path)
    except OSError:
        return None
    digest = hashlib.sha256(read(path)).hexdigest() if os.path.isfile(path) else ""
    return FileFacts(f"{info.st_mode & 0o7777:04o}", info.st_uid, info.st_gid, digest)


def variables(file: Path) -> dict[str, str]:
    """Name → digest of each variable that runs are given."""
    try:
        there = json.loads(read(file) or b"{}")
        return {printable(name): hashlib.sha256(value.encode()).hexdigest() for name, value in there.items()}
    except (ValueError, AttributeError):  # somebody edited it; the deploy writes it anew
        return {}


def locked(folder: Path) -> str:
    """Who holds the host, in words; nothing when nobody does."""
    held = holder(folder)
    return describe(held) if held else ""


def workers(units: str, prefix: str, base: str) -> dict[int, Worker]:
    """Each worker unit that a deploy wrote, by number; a name alone makes none ours."""
    names = [Path(path).name for path in glob.glob(f"{units}/{prefix}*.service") if is_ours(path, base)]
    numbers = {name: name.removeprefix(prefix).removesuffix(".service") for name in names}
    found = unit_facts(units, {name: int(number) for name, number in numbers.items() if number.isdecimal()})
    return {worker.number: worker for worker in found.values()}


def kept_units(folder: Path) -> dict[str, dict[str, str]]:
    """Release → unit → its text, of each release that was once of record."""
    return {
        release.name: {path.name: read(path).decode() for path in release.glob("*.service")}
        for release in folder.glob("*")
        if release.is_dir()
    }


def free_bytes(path: str) -> int:
    """Free disk where a folder is or will be."""
    while not os.path.exists(path):
        path = os.path.dirname(path)
    return shutil.disk_usage(path).free


def landlock() -> int:
    """The version of Landlock that the kernel has; 0 for none. It is the answer to landlock_create_ruleset(2)."""
    return max(0, int(ctypes.CDLL(None).syscall(444, None, ctypes.c_size_t(0), 1)))


class Asked:
    """Puts questions to the host; one that fails leaves the others their answers."""

    def __init__(self) -> None:
        self.faults: dict[str, str] = {}

    def __call__(self, name: str, question: Callable[[], T], otherwise: T) -> T:
        """The answer; where there is none, `otherwise`, and why under the question's name in `faults`."""
        try:
            return question()
        except Exception as error:  # noqa: BLE001 - whatever it is, the operator hears of all the rest
            self.faults[name] = printable(f"{type(error).__name__}: {error}")
            return otherwise


def facts(query: InspectHost) -> HostState:
    """Everything. Where a question could not be answered the deploy is told of it, and goes no further."""
    places, asked = query.places, Asked()
    base, units = places.base, str(places.units)
    legacy = asked("former", lambda: former(units, str(base), query.unit), Former())
    server = asked("api", lambda: api(query.access, query.pool), Server(None, "was not asked"))
    return HostState(
        python=sys.executable,
        python_prefix=os.path.realpath(sys.base_prefix),
        root=os.path.realpath(base / "root"),
        python_version=platform.python_version(),
        python_fits="unfit" not in sys.argv,  # the launcher's word
        hostname=asked("hostname", platform.node, ""),
        machine=asked("machine", platform.machine, ""),
        libc=asked("libc", lambda: "-".join(platform.libc_ver()), ""),
        systemd=asked("systemd", systemd, 0),
        landlock=asked("landlock", landlock, 0),
        booted=asked("booted", lambda: os.path.isdir("/run/systemd/system"), otherwise=False),
        free=asked("free", lambda: {path: free_bytes(path) for path in (str(base), "/var/lib", "/etc")}, {}),
        users=asked("users", lambda: users(query.user), frozenset()),
        doubts=asked("doubts", lambda: tuple(doubts(places, query.user)), ()),
        reach=asked("reach", lambda: tuple(reach(query.access.api_url)), ()),
        releases=asked("releases", lambda: releases(base / "releases"), {}),
        current=asked("current", lambda: link(f"{base}/current"), None),
        previous=asked("previous", lambda: link(f"{base}/previous"), None),
        wheels=asked("wheels", lambda: frozenset(path.name for path in (base / "wheels").glob("*")), frozenset()),
        files=asked("files", lambda: {path: file_facts(path) for path in query.files}, {}),
        environment=asked("environment", lambda: variables(places.config / "environment.json"), {}),
        workers=asked("workers", lambda: workers(units, query.unit, str(base)), {}),
        unfinished=asked("unfinished", lambda: unfinished(places.before), {}),
        lock=asked("lock", lambda: locked(places.lock), ""),
        rollout_open=asked("rollout_open", places.before.is_dir, otherwise=False),
        kept=asked("kept", lambda: kept_units(places.kept) if query.kept else {}, {}),
        webhooks=asked("webhooks", lambda: unit_facts(units, {query.webhooks: 0}).get(query.webhooks), None),
        webhooks_port=asked("webhooks_port", lambda: port_fault(query), None),
        deploys=asked("deploys", lambda: deploys(places.record), ()),
        legacy=legacy.workers,
        claims=legacy.claims,
        legacy_units=legacy.units,
        strangers=legacy.strangers,
        starters=legacy.starters,
        api_status=server.status,
        api_error=server.error,
        api_version=server.version,
        api_open=server.open,
        testing=server.testing,
        pool=server.pool,
        online=server.online,
        automations=server.automations,
        deployments=server.deployments,
        skew=server.skew,
        faults=asked.faults,
    )


def systemd() -> int:
    """Its version; 0 where it is not there."""
    return int((re.search(r"systemd (\d+)", ask("systemctl", "--version")) or ["", "0"])[1])


def users(prefix: str) -> frozenset[str]:
    """Those of a deploy, all of whose names begin so."""
    return frozenset(entry.pw_name for entry in ours(prefix))


def releases(folder: Path) -> dict[str, Release]:
    """Each by its id."""
    return {path.name: release(path) for path in folder.glob("*") if path.is_dir()}


def link(path: str) -> str | None:
    """The name that a link leads to; None where there is no link."""
    return os.path.basename(os.readlink(path)) if os.path.islink(path) else None


def port_fault(query: InspectHost) -> PortFault | None:
    """Why the webhooks could not listen where they shall, if they shall anywhere."""
    place = query.webhooks_port
    return fault(place.bind, place.port, query.webhooks) if place else None


def main(query: InspectHost) -> None:
    """Prints everything."""
    print(encode(facts(query)))
