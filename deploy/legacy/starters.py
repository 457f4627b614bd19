"""What would start a worker again: crontabs, rc.local, units of users, units that start one by a script or a wrapper.

Read as data and told, never changed.
"""

from __future__ import annotations

import itertools
import pwd
import re
from functools import cache
from typing import TYPE_CHECKING

from deploy.legacy import units
from deploy.onhost.state import Starter
from deploy.onhost.untrusted import names, printable, regular

if TYPE_CHECKING:
    from collections.abc import Collection

MOST = 20
MOST_SCRIPTS = 2000  # a crontab has room for many names
STARTS = re.compile(r"\bprefect\b.*\bworker[\s\"',]+start\b")
# Behind a word's beginning or systemd's own signs (systemd.service(5), `-/srv/start.sh`).
SCRIPT = re.compile(r"(?:(?<![\w./~-])|(?<=[=@+!:]-))/[\w.+@/-]+")
WRITTEN = re.compile(r"(?:>+|\b(?:append|file|truncate):)\s*\S+")  # what a line writes to is a log, and no script
FOLDER = re.compile(r"\bcd\s+(/[\w.+@/-]+)")
LOCAL = re.compile(r"(?<![\w./~-])(?:\./|(?:ba|da)?sh\s+)([\w+@][\w.+@/-]*)")  # of the folder that a line goes to
COMMENT = ("#", ";")
CRON = ("cron.service", "crond.service", "cronie.service")
SPOOL = "/var/spool/cron/crontabs"
USER_UNITS = ("/etc/systemd/user", "/usr/lib/systemd/user", "/usr/local/lib/systemd/user")
LINGER = "/var/lib/systemd/linger"
OWN_UNITS = ".config/systemd/user"


def lines(path: str, *, boot: bool = False) -> list[tuple[int, str]]:
    """The lines of a file that start a worker, or, with `boot`, anything at a boot; by their number."""
    found = []
    for number, line in enumerate(regular(path).decode(errors="replace").splitlines(), 1):
        text = line.strip()
        if not text.startswith(COMMENT) and (starts(text) or (boot and text.startswith("@reboot"))):
            found.append((number, text))
    return found


def starts(text: str) -> bool:
    """Whether a line starts a worker, or names a script that does."""
    return STARTS.search(text) is not None or any(map(starts_one, scripts(text)))


def scripts(text: str) -> list[str]:
    """The files that a line names, but for those that it writes to."""
    named = WRITTEN.sub("", text)
    folder = FOLDER.search(named)
    local = [f"{folder[1].rstrip('/')}/{name}" for name in LOCAL.findall(named)] if folder else []
    return SCRIPT.findall(named) + local


@cache
def starts_one(script: str) -> bool:
    """Whether a file has a line that starts a worker; what that line names is not followed."""
    text = regular(script) if starts_one.cache_info().misses < MOST_SCRIPTS else b""
    if b"prefect" not in text:
        return False
    shown = (line.strip() for line in text.decode(errors="replace").splitlines())
    return any(STARTS.search(line) for line in shown if not line.startswith(COMMENT))


def users() -> dict[str, str]:
    """User → home of those whose own systemd starts at a boot (loginctl(1), enable-linger)."""
    lingering = set(names(LINGER))
    return {entry.pw_name: entry.pw_dir for entry in pwd.getpwall() if entry.pw_name in lingering}


def files() -> dict[str, str]:
    """Every file that starts things at a boot or a login, and whose it is; empty: the system's."""
    found = {"/etc/crontab": "", "/etc/rc.local": ""}
    for folder in ("/etc/cron.d", "/etc/init.d", "/etc/supervisor/conf.d", *USER_UNITS):
        found |= {f"{folder}/{name}": "" for name in sorted(names(folder))}
    found |= {f"{SPOOL}/{name}": name for name in sorted(names(SPOOL))}
    for user, home in users().items():
        folder = f"{home}/{OWN_UNITS}"
        found |= {f"{folder}/{name}": user for name in sorted(names(folder)) if name.endswith(".service")}
    return found


def starters(cron_users: set[str], told: Collection[str]) -> tuple[Starter, ...]:
    """The lines that start a worker, and those of a boot of users for whom cron has started one.

    Args:
        cron_users: who has a worker that cron started.
        told: units of which the plan tells otherwise.
    """
    starts_one.cache_clear()
    by_unit = [(path, unit, number) for path, unit in units.written().items() for number, _ in lines(path)]
    found = [
        Starter(printable(path), number, printable(user))
        for path, user in files().items()
        for number, _ in lines(path, boot=path.startswith(SPOOL) and user in cron_users)
    ]
    coming = units.starting({unit for _, unit, _ in by_unit}, told)
    found += [Starter(printable(path), n, "", printable(coming[unit])) for path, unit, n in by_unit if unit in coming]
    return tuple(itertools.islice(found, MOST))
