"""Whom a deploy would have to trust because of the places where it keeps things: the answer must be root alone."""

from __future__ import annotations

import os
import pwd
import re
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.onhost.untrusted import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from deploy.onhost.wire import Places

LINKS = 40  # as many as the kernel follows
NO_LOGIN = ("nologin", "false")
FIRST_HUMAN = 1000  # of useradd(8) and login.defs(5)


def way(path: str, links: int = LINKS) -> Iterator[tuple[str, os.stat_result]]:
    """Each step from the root to a path, through the links that are there; it ends where nothing is."""
    here = "/"
    for part in Path(path).parts:
        here = os.path.join(here, part)
        try:
            info = os.lstat(here)
        except OSError:
            return
        yield here, info
        if stat.S_ISLNK(info.st_mode):
            if not links:
                return
            yield from way(os.path.join(os.path.dirname(here), os.readlink(here)), links - 1)
            here = os.path.realpath(here)


def doubt(path: str, info: os.stat_result) -> str:
    """Who else than root decides what is there; nothing when nobody does."""
    if info.st_uid:
        return f"{printable(path)} belongs to {owner(info.st_uid)}"
    others = stat.S_IWOTH | (stat.S_IWGRP if info.st_gid else 0)
    if not stat.S_ISLNK(info.st_mode) and info.st_mode & others and not info.st_mode & stat.S_ISVTX:
        return f"{printable(path)} can be written by others than root"
    return ""


def owner(uid: int) -> str:
    """A user's name, or number where it has none."""
    try:
        return printable(pwd.getpwuid(uid).pw_name)
    except KeyError:
        return f"uid {uid}"


def doubts(places: Places, user: str) -> list[str]:
    """All of it: what the deploy reads there it would run, or put into units, as root."""
    base = places.base
    ours = [base, base / "releases", base / "wheels", base / "root", places.kept, places.before, places.record]
    ours += [places.lock, places.config, *(base / "releases").glob("*")]
    found = dict.fromkeys(filter(None, (doubt(path, info) for place in ours for path, info in way(str(place)))))
    return [f"{words}; what lies there would be run, or believed, as root" for words in found] + accounts(user)


def ours(prefix: str) -> list[pwd.struct_passwd]:
    """The accounts that a deploy makes, by their names; who logs in to deploy may be called alike."""
    name = re.compile(rf"{re.escape(prefix)}(-webhooks|-worker-\d+)?")
    return [entry for entry in pwd.getpwall() if name.fullmatch(entry.pw_name)]


def accounts(prefix: str) -> list[str]:
    """Accounts of people that go by the name of one of ours."""
    found = ours(prefix)
    people = [entry for entry in found if entry.pw_uid >= FIRST_HUMAN or not entry.pw_shell.endswith(NO_LOGIN)]
    return [
        f"the account {entry.pw_name} (uid {entry.pw_uid}, shell {printable(entry.pw_shell)}) is a person's; "
        "a worker would run as that person"
        for entry in people
    ]
