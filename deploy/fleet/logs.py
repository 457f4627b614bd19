"""`python -m deploy.fleet logs UNIT LINES FOLLOW`: the journal of the one host that LIMIT names."""

from __future__ import annotations

import shlex
import subprocess
import sys
from typing import TYPE_CHECKING

from deploy import spec, ssh
from deploy.fleet import applications
from deploy.fleet.connect import USAGE, FleetError
from deploy.limit import limited
from deploy.settings import SettingsError, load, worker_host

if TYPE_CHECKING:
    from deploy.hosts_file import Target
    from deploy.settings import Settings

WEBHOOKS = "webhooks"


def command(settings: Settings, unit: str, lines: int, *, follow: bool) -> list[str]:
    """The command that shows it. Pure.

    Args:
        settings: with one host.
        unit: a worker's number, `webhooks`, or "" for all of them.
        lines: how many to begin with.
        follow: whether it goes on as lines come in.

    Raises:
        SettingsError: several hosts are meant, or the host has no such worker.
    """
    target = _one(settings)
    count = worker_host(settings, target).workers
    if unit not in {"", WEBHOOKS, *map(str, range(1, count + 1))}:
        raise SettingsError(f"logs: {unit!r} is no worker of {target.address}; say 1 to {count}, or {WEBHOOKS}")
    units = [spec.WEBHOOKS_UNIT] if unit == WEBHOOKS else [spec.unit_name(int(unit))] if unit else _all()
    journal = ["journalctl", "--no-pager", "--output=short-iso", f"--lines={lines}", *(["--follow"] if follow else [])]
    asked = shlex.join([*journal, *(f"--unit={name}" for name in units)])
    terminal = ["-t"] if follow and sys.stdout.isatty() else []  # so that Ctrl-C ends it on the host as well
    root = ssh.user(settings, target) == ssh.DEFAULT_USER
    return [*ssh.arguments(settings, target), *terminal, asked if root else f"sudo -n {asked}"]


def _all() -> list[str]:
    return [f"{spec.UNIT}*", spec.WEBHOOKS_UNIT]


def main() -> int:
    """The status of ssh; 2 when what was asked for is not there."""
    unit, lines, follow = sys.argv[2:5]
    try:
        settings = limited(load())
        if [host for host in settings.hosts if host.application]:
            return application(settings, unit, int(lines), follow=bool(follow))
        asked = command(settings, unit, int(lines), follow=bool(follow))
    except (SettingsError, FleetError) as error:
        sys.stderr.write(f"{error}\n")
        return USAGE
    sys.stdout.flush()
    return subprocess.run(asked, check=False).returncode


def application(settings: Settings, unit: str, lines: int, *, follow: bool) -> int:
    """The container of an application, which is one worker; Coolify has no way to follow it.

    Raises:
        SettingsError: several hosts are meant, or what only a host has.
        FleetError: Coolify does not answer.
    """
    _one(settings)
    if follow or unit:
        raise SettingsError("logs: an application of Coolify is one worker, and cannot be followed. Leave both out.")
    sys.stdout.write(applications.logs(worker_host(settings, settings.hosts[0]), lines) + "\n")
    return 0


def _one(settings: Settings) -> Target:
    if len(settings.hosts) > 1:
        raise SettingsError("logs: name one host; there are: " + ", ".join(host.address for host in settings.hosts))
    return settings.hosts[0]
