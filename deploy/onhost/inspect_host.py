"""Looks at a host and prints one JSON object: all that the deploy needs to know, in one round trip; changes nothing."""

from __future__ import annotations

import ctypes
import glob
import hashlib
import json
import os
import platform
import pwd
import re
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deploy.legacy.former import NOTHING as NO_FORMER
from deploy.legacy.former import former
from deploy.legacy.units import is_ours
from deploy.onhost.addresses import reach
from deploy.onhost.api_facts import api
from deploy.onhost.before import unfinished
from deploy.onhost.common import ask, guard_digest, packages, read, revision, shipped, tree_digest
from deploy.onhost.lock import describe, holder
from deploy.onhost.record import deploys
from deploy.onhost.trust import doubts
from deploy.onhost.unit_facts import unit_facts
from deploy.onhost.untrusted import printable
from deploy.onhost.webhooks_port import fault

if TYPE_CHECKING:
    from collections.abc import Callable


def release(path: Path) -> dict[str, Any]:
    """What a release folder holds, against what it held when it was finished."""
    written = revision(path)
    if written is None:
        return {"complete": False}
    found, built = set(packages(path)), set(written["packages"])
    return {
        "complete": True,
        "prefix": str(Path(os.path.realpath(path / "venv/bin/python")).parent.parent),
        "revision": {key: value for key, value in written.items() if isinstance(value, str)},
        "added": sorted(found - built),
        "missing": sorted(built - found),
        "code_changed": tree_digest(path, written["code_files"]) != written["code"]
        or shipped(path) != sorted(written["code_files"]),
        "guard": guard_digest(path) == written["guard"],
    }


def file_facts(path: str) -> dict[str, Any] | None:
    """Owner, mode and digest of one file; None when it is absent."""
    try:
        info = os.stat(path)
    except OSError:
        return None
    digest = hashlib.sha256(read(path)).hexdigest() if os.path.isfile(path) else ""
    return {
        "mode": f"{info.st_mode & 0o7777:04o}",
        "uid": info.st_uid,
        "gid": info.st_gid,
        "sha256": digest,
    }


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


def workers(units: str, prefix: str, base: str) -> dict[str, dict[str, Any]]:
    """Each worker unit that a deploy wrote, by number; a name alone makes none ours."""
    names = [Path(path).name for path in glob.glob(f"{units}/{prefix}*.service") if is_ours(path, base)]
    numbers = {name: name.removeprefix(prefix).removesuffix(".service") for name in names}
    found = unit_facts(units, [name for name in names if numbers[name].isdecimal()])
    return {numbers[name]: facts for name, facts in found.items()}


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


# What is answered where a question could not be: the deploy is then told of it, and goes no further.
NOTHING: dict[str, Any] = {
    "libc": "",
    "users": [],
    "doubts": [],
    "reach": [],
    "systemd": 0,
    "landlock": 0,
    "booted": False,
    "free": {},
    "releases": {},
    "wheels": [],
    "files": {},
    "environment": {},
    "workers": {},
    "unfinished": {},
    "lock": "",
    "kept": {},
    "former": NO_FORMER,
    "api": {"status": None, "error": "was not asked"},
    "deploys": [],
}


def facts(query: dict[str, Any]) -> dict[str, Any]:
    """Everything; one question that fails leaves the others their answers."""
    base = query["base"]
    questions: dict[str, Callable[[], Any]] = {
        "hostname": platform.node,
        "machine": platform.machine,
        "libc": lambda: "-".join(platform.libc_ver()),
        "systemd": lambda: int((re.search(r"systemd (\d+)", ask("systemctl", "--version")) or ["", "0"])[1]),
        "landlock": landlock,
        "booted": lambda: os.path.isdir("/run/systemd/system"),
        "free": lambda: {path: free_bytes(path) for path in (base, "/var/lib", "/etc")},
        "users": lambda: [entry.pw_name for entry in pwd.getpwall() if entry.pw_name.startswith(query["user"])],
        "doubts": lambda: doubts(query),
        "reach": lambda: reach(query["api_url"]),
        "releases": lambda: {path.name: release(path) for path in Path(base, "releases").glob("*") if path.is_dir()},
        "current": lambda: link(f"{base}/current"),
        "previous": lambda: link(f"{base}/previous"),
        "wheels": lambda: sorted(os.listdir(f"{base}/wheels")) if os.path.isdir(f"{base}/wheels") else [],
        "files": lambda: {path: file_facts(path) for path in query["files"]},
        "environment": lambda: variables(Path(query["environment"])),
        "workers": lambda: workers(query["units"], query["unit"], base),
        "unfinished": lambda: unfinished(Path(query["before"])),
        "lock": lambda: locked(Path(query["lock_folder"])),
        "rollout_open": lambda: os.path.isdir(query["before"]),
        "kept": lambda: kept_units(Path(query["kept_units"])) if query["kept"] else {},
        "webhooks": lambda: unit_facts(query["units"], [query["webhooks"]]).get(query["webhooks"]),
        "webhooks_port": lambda: port_fault(query),
        "former": lambda: former(query),
        "api": lambda: api(query),
        "deploys": lambda: deploys(query["audit"]),
    }
    python = {
        "executable": sys.executable,
        "prefix": sys.base_prefix,
        "version": platform.python_version(),
        "fits": "unfit" not in sys.argv,  # the launcher's word
    }
    return {"python": python, **answers(questions)}


def answers(questions: dict[str, Callable[[], Any]]) -> dict[str, Any]:
    """What each question is answered with, and `faults`: why some were not."""
    found: dict[str, Any] = {"faults": {}}
    for name, question in questions.items():
        try:
            found[name] = question()
        except Exception as error:  # noqa: BLE001 - whatever it is, the operator hears of all the rest
            found[name] = NOTHING.get(name)
            found["faults"][name] = printable(f"{type(error).__name__}: {error}")
    return found


def link(path: str) -> str | None:
    """The name that a link leads to; None where there is no link."""
    return os.path.basename(os.readlink(path)) if os.path.islink(path) else None


def port_fault(query: dict[str, Any]) -> dict[str, Any] | None:
    """Why the webhooks could not listen where they shall, if they shall anywhere."""
    return fault(**query["webhooks_port"], unit=query["webhooks"]) if query["webhooks_port"] else None


def main(query: dict[str, Any]) -> None:
    """Prints everything."""
    print(json.dumps(facts(query)))
