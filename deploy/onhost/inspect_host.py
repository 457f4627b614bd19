"""Looks at a host and prints one JSON object: all that the deploy needs to know, in one round trip; changes nothing."""

from __future__ import annotations

import glob
import hashlib
import json
import os
import platform
import pwd
import re
import shutil
import sys
import urllib.error
from pathlib import Path
from typing import Any
from urllib.parse import quote

from deploy.onhost.before import unfinished
from deploy.onhost.common import ask, guard_digest, packages, read, revision, shipped, tree_digest
from deploy.onhost.lock import describe, holder
from deploy.onhost.prefect_api import pages, request
from deploy.onhost.processes import started, unit_of
from deploy.onhost.record import deploys
from deploy.onhost.unit_facts import unit_facts
from deploy.onhost.webhooks_port import fault

HTTP_NOT_FOUND = 404


def release(path: Path) -> dict[str, Any]:
    """What a release folder holds, against what it held when it was finished."""
    written = revision(path)
    if written is None:
        return {"complete": False}
    found, built = set(packages(path)), set(written["packages"])
    return {
        "complete": True,
        "revision": {key: value for key, value in written.items() if isinstance(value, str)},
        "added": sorted(found - built),
        "missing": sorted(built - found),
        "code_changed": tree_digest(path, written["code_files"]) != written["code"]
        or shipped(path) != sorted(written["code_files"]),
        "guard": guard_digest(path) == written["guard"],
    }


def file_facts(path: str) -> dict[str, Any] | None:
    """Owner, mode, digest and time of change of one file; None when it is absent."""
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
        "mtime": info.st_mtime,
    }


def locked(folder: Path) -> str:
    """Who holds the host, in words; nothing when nobody does."""
    held = holder(folder)
    return describe(held) if held else ""


def workers(units: str, prefix: str) -> dict[str, dict[str, Any]]:
    """Each worker unit that systemd knows or that has a file, by number."""
    names = [Path(path).name for path in glob.glob(f"{units}/{prefix}*.service")]
    numbers = {name: name.removeprefix(prefix).removesuffix(".service") for name in names}
    found = unit_facts(units, [name for name in names if numbers[name].isdecimal()])
    return {numbers[name]: facts for name, facts in found.items()}


def legacy_processes() -> list[dict[str, Any]]:
    """Workers that somebody started by other means: `prefect worker start` under a unit, nohup or a shell."""
    found = []
    for entry in glob.glob("/proc/[0-9]*"):
        argv = [part for part in read(f"{entry}/cmdline").decode(errors="replace").split("\0") if part]
        if not is_worker_start(argv):
            continue
        pid = int(Path(entry).name)
        try:
            contained = (
                os.stat(f"{entry}/root").st_ino != os.stat("/").st_ino
                or os.stat(f"{entry}/root").st_dev != os.stat("/").st_dev
            )
            user = pwd.getpwuid(os.stat(entry).st_uid).pw_name
        except (OSError, KeyError):
            continue
        name = next((argv[i + 1] for i, part in enumerate(argv[:-1]) if part in ("--name", "-n")), "")
        found.append(
            {"pid": pid, "user": user, "unit": unit_of(pid), "name": name, "container": contained,
             "started": started(pid), **interpreter(argv, entry)}
        )  # fmt: skip
    return sorted(found, key=lambda item: item["pid"])


def is_worker_start(argv: list[str]) -> bool:
    """Whether an argument list is Prefect's own `prefect worker start`, run by a Python."""
    words = [Path(part).name for part in argv]
    if not words or "python" not in words[0] or "prefect" not in words:
        return False
    rest = words[words.index("prefect") + 1 :]
    return any(rest[i : i + 2] == ["worker", "start"] for i in range(len(rest)))


def interpreter(argv: list[str], entry: str) -> dict[str, Any]:
    """The interpreter behind a legacy worker and the uvloop that it would import."""
    python = argv[0] if os.path.isabs(argv[0]) and os.path.exists(argv[0]) else os.path.realpath(f"{entry}/exe")
    return {"python": python, "uvloop": installed(python, "uvloop"), "prefect": installed(python, "prefect")}


def installed(python: str, package: str) -> str:
    """The version of a package as an interpreter itself sees it; empty when it has none."""
    code = (
        f"import importlib.metadata as m\ntry: print(m.version({package!r}) or '')\nexcept m.PackageNotFoundError: pass"
    )
    return ask(python, "-I", "-c", code).strip()


def legacy_units(prefix: str, units: str) -> list[str]:
    """Enabled or present unit files, other than ours, that start a Prefect worker."""
    return sorted(
        Path(path).name
        for path in glob.glob(f"{units}/*.service")
        if not Path(path).name.startswith(prefix)
        and os.path.isfile(path)
        and re.search(rb"^ExecStart=.*prefect worker start", read(path), re.MULTILINE)
    )


def api(query: dict[str, Any]) -> dict[str, Any]:
    """Who the server is and which workers it believes to be online, or the error."""
    try:
        found = {"status": 200, "version": request(query, "/admin/version"), "online": []}
        found["online"] = [
            item["name"]
            for item in request(query, f"/work_pools/{quote(query['pool'])}/workers/filter", {})
            if item["status"] == "ONLINE"
        ]
        found["automations"] = automations(query)
    except urllib.error.HTTPError as error:
        # No such pool yet: the first worker creates it.
        return found if error.code == HTTP_NOT_FOUND else {"status": error.code, "error": error.reason}
    except (OSError, ValueError) as error:
        return {"status": None, "error": str(getattr(error, "reason", error))}
    return found


def kept_units(folder: Path) -> dict[str, dict[str, str]]:
    """Release → unit → its text, of each release that was once of record."""
    return {
        release.name: {path.name: read(path).decode() for path in release.glob("*.service")}
        for release in folder.glob("*")
        if release.is_dir()
    }


def automations(query: dict[str, Any]) -> dict[str, str] | None:
    """Name → description of each automation that is enabled; None where the credential does not reach so far."""
    try:
        answer = pages(query, "/automations/filter", {})
    except urllib.error.HTTPError:
        return None
    return {item["name"]: item["description"] for item in answer if item["enabled"]}


def free_bytes(path: str) -> int:
    """Free disk where a folder is or will be."""
    while not os.path.exists(path):
        path = os.path.dirname(path)
    return shutil.disk_usage(path).free


def facts(query: dict[str, Any]) -> dict[str, Any]:
    """Everything."""
    base = query["base"]
    current = f"{base}/current"
    return {
        "hostname": platform.node(),
        "machine": platform.machine(),
        "libc": "-".join(platform.libc_ver()),
        "systemd": int((re.search(r"systemd (\d+)", ask("systemctl", "--version")) or ["", "0"])[1]),
        "booted": os.path.isdir("/run/systemd/system"),
        "python": {"executable": sys.executable, "prefix": sys.base_prefix, "version": platform.python_version()},
        "free": {path: free_bytes(path) for path in (base, "/var/lib", "/etc")},
        "user": any(entry.pw_name == query["user"] for entry in pwd.getpwall()),
        "releases": {path.name: release(path) for path in Path(base, "releases").glob("*") if path.is_dir()},
        "current": os.path.basename(os.readlink(current)) if os.path.islink(current) else None,
        "previous": os.path.basename(os.readlink(f"{base}/previous")) if os.path.islink(f"{base}/previous") else None,
        "wheels": sorted(os.listdir(f"{base}/wheels")) if os.path.isdir(f"{base}/wheels") else [],
        "files": {path: file_facts(path) for path in query["files"]},
        "workers": workers(query["units"], query["unit"]),
        "unfinished": unfinished(Path(query["before"])),
        "lock": locked(Path(query["lock_folder"])),
        "rollout_open": os.path.isdir(query["before"]),
        "kept": kept_units(Path(query["kept_units"])) if query["kept"] else {},
        "webhooks": unit_facts(query["units"], [query["webhooks"]]).get(query["webhooks"]),
        "webhooks_port": fault(**query["webhooks_port"], unit=query["webhooks"]) if query["webhooks_port"] else None,
        "legacy": legacy_processes(),
        "legacy_units": legacy_units(query["unit"], query["units"]),
        "api": api(query),
        "deploys": deploys(query["audit"]),
    }


def main(query: dict[str, Any]) -> None:
    """Prints everything."""
    print(json.dumps(facts(query)))
