"""uvloop in the environment of a legacy worker: who may remove it and from where; and the removal, as its owner.

A removal is two folders with names that are known beforehand, deleted by `rm` under the owner's own identity. Nothing
of the environment is run, and its list of files, which its owner wrote, is not read.
"""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path

from deploy.legacy.environment import versions
from deploy.onhost.common import read, say
from deploy.onhost.state import Uvloop

PACKAGE = "uvloop"
DPKG = "/var/lib/dpkg/info"
OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
ENVIRONMENT = 2  # above lib/python3.12
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"


def found(folders: list[str], uid: int, *, vouched: bool) -> tuple[Uvloop, ...]:
    """Each uvloop in a worker's folders of packages, and why it stays where it does.

    Args:
        folders: of packages, links resolved.
        uid: whose process the worker is.
        vouched: whether root's own unit starts the worker, so that root has chosen its environment.
    """
    return tuple(
        Uvloop(site, version, refusal(site, version, uid, vouched=vouched))
        for site in folders
        for version in versions(site, PACKAGE)
    )


def folders_of(site: str, version: str) -> list[str]:
    """What a removal deletes."""
    return [f"{site}/{PACKAGE}", f"{site}/{PACKAGE}-{version}.dist-info"]


def refusal(site: str, version: str, uid: int, *, vouched: bool) -> str:
    """Why nothing is removed there, in words; empty when it may be removed."""
    try:
        owner = os.lstat(site).st_uid
        if owner != uid and not (owner == 0 and vouched):
            return "it belongs to another user than the worker"
        if strange := not_of(owner, site, version):
            return f"{strange} could be changed by others than its owner"
    except OSError as error:
        return f"it cannot be looked at ({error.strerror})"
    return "a Debian package owns it" if of_a_package(site) else ""


def not_of(owner: int, site: str, version: str) -> str:
    """The first folder, from the root down, that is not the owner's own: root's above a user's environment may be.

    Raises:
        OSError: one of them is gone.
    """
    above = Path(site).parents
    environment = above[min(ENVIRONMENT, len(above) - 1)]
    for folder in [*reversed(above), Path(site), *map(Path, folders_of(site, version))]:
        info = os.lstat(folder)
        own = folder == environment or environment in folder.parents
        trusted = {owner} if own else {owner, 0}
        # A user removes with his own rights: what others may write there is between him and them.
        written = owner == 0 and info.st_mode & OTHERS_WRITE
        if not stat.S_ISDIR(info.st_mode) or info.st_uid not in trusted or written:
            return str(folder)
    return ""


def of_a_package(site: str) -> bool:
    """Whether dpkg's own lists have the package's folder (dpkg-query(1): DPKG_ADMINDIR/info/PACKAGE.list)."""
    line = f"{site}/{PACKAGE}\n".encode()
    return any(line in read(path) for path in Path(DPKG).glob("*.list"))


def remove(item: Uvloop, uid: int, *, vouched: bool) -> None:
    """What the plan has named, if it may still be removed; and says what became of it."""
    site, version = item.site, item.version
    versions.cache_clear()
    if item.stays or not versions(site, PACKAGE):
        return
    if why := refusal(site, version, uid, vouched=vouched):
        say(f"uvloop {version} stays in {site}: {why}")
        return
    info = os.lstat(site)
    identity = [f"--reuid={info.st_uid}", f"--regid={info.st_gid}", "--clear-groups", "--no-new-privs"]
    command = ["setpriv", *identity, "rm", "--recursive", "--force", "--one-file-system", "--"]
    try:
        subprocess.run(
            [*command, *folders_of(site, version)],
            env={"PATH": PATH},
            cwd="/",
            check=False,
            capture_output=True,
            timeout=60,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        say(f"uvloop could not be removed from {site}: {error}")
    versions.cache_clear()
    left = os.path.lexists(f"{site}/{PACKAGE}") or versions(site, PACKAGE)
    say(f"uvloop could not be removed from {site}" if left else f"uvloop removed from {site}")
