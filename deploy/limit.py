"""--limit: some of the hosts that `.env` names, for one command."""

from __future__ import annotations

import os
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from deploy.env_file import SettingsError, hint

if TYPE_CHECKING:
    from collections.abc import Mapping

    from deploy.settings import Settings


def limited(settings: Settings, environ: Mapping[str, str] = os.environ) -> Settings:
    """The settings with the hosts that LIMIT names: addresses as in HUBLAB_HOSTS, or patterns such as `web-*`.

    Several are separated by commas. Without LIMIT, all hosts.

    Raises:
        SettingsError: LIMIT is empty, or a part of it names no host.
    """
    if "LIMIT" not in environ:
        return settings
    parts = [part.strip() for part in environ["LIMIT"].split(",")]
    if not all(parts):
        raise SettingsError("--limit: names no host. Name one of HUBLAB_HOSTS, or leave it out for all of them.")
    known = [host.address for host in settings.hosts]
    faults = [_fault(part, known) for part in parts if not any(fnmatchcase(name, part) for name in known)]
    if faults:
        raise SettingsError("\n".join(faults))
    chosen = [host for host in settings.hosts if any(fnmatchcase(host.address, part) for part in parts)]
    return replace(settings, hosts=tuple(chosen))


def _fault(part: str, known: list[str]) -> str:
    return f"HUBLAB_HOSTS: no host there is {part!r}; {hint(part, known)}"
