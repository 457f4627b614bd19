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

from deploy.legacy.find import everyone
from deploy.onhost.before import unfinished
from deploy.onhost.common import ask, guard_digest, packages, read, revision, shipped, tree_digest
from deploy.onhost.lock import describe, holder
from deploy.onhost.prefect_api import pages, request
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
    """Who the server is, which workers it believes to be online and what it has of ours, or the error."""
    try:
        return {
            "status": 200,
            "version": request(query, "/admin/version"),
            "online": online(query),
            "automations": automations(query),
        }
    except urllib.error.HTTPError as error:
        return {"status": error.code, "error": error.reason}
    except (OSError, ValueError) as error:
        return {"status": None, "error": str(getattr(error, "reason", error))}


def online(query: dict[str, Any]) -> list[str]:
    """The names of the pool's workers that the server believes to be online."""
    try:
        found = request(query, f"/work_pools/{quote(query['pool'])}/workers/filter", {})
    except urllib.error.HTTPError as error:
        if error.code != HTTP_NOT_FOUND:
            raise
        return []  # no such pool yet: the first worker creates it
    return [item["name"] for item in found if item["status"] == "ONLINE"]


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
    legacy, claims = everyone()
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
        "legacy": legacy,
        "claims": claims,
        "legacy_units": legacy_units(query["unit"], query["units"]),
        "api": api(query),
        "deploys": deploys(query["audit"]),
    }


def main(query: dict[str, Any]) -> None:
    """Prints everything."""
    print(json.dumps(facts(query)))
