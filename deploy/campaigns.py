"""The folder of the operator's own campaign files, which become a part of each release.

HUBLAB_CAMPAIGNS of the environment, else of `.env`; a relative path is one from the checkout. So a campaign that is
added or edited is a new release: the plan shows it, the gate proves it, and `./hublab rollback` takes it back.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from deploy import env_file
from deploy.env_file import ROOT, SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping

KEY = "HUBLAB_CAMPAIGNS"
PLACE = "flows/campaigns"


def queues(mails: str) -> tuple[str, ...]:
    """The queues of the campaign's runs, polled by every worker: `flows.services.settings` calls them the same."""
    return f"{mails}-handlers", mails


def folder(root: Path = ROOT, environ: Mapping[str, str] = os.environ) -> Path | None:
    """Where they are; None where no folder is named.

    Raises:
        SettingsError: it is no folder, or `.env` cannot be read.
    """
    value = env_file.asked(KEY, root, environ)
    if not value:
        return None
    path = env_file.named(value, root)
    if not os.path.isdir(path):  # noqa: PTH112 - says no as well of what can be no path at all
        raise SettingsError(f"{KEY}: {value!r} is not a folder on this machine; name one with campaign files (*.toml)")
    return path


def files(root: Path = ROOT, environ: Mapping[str, str] = os.environ) -> dict[str, bytes]:
    """The files as a release has them: path relative to it → content.

    Raises:
        SettingsError: one has the name of a file that the project brings; or as `folder`.
    """
    there = folder(root, environ)
    if there is None or there == root / PLACE:
        return {}
    found = {f"{PLACE}/{path.name}": path.read_bytes() for path in sorted(there.glob("*.toml")) if path.is_file()}
    for name in found:
        if (root / name).exists():
            raise SettingsError(
                f"{KEY}: {Path(name).name} is the name of a file in {PLACE} as well; give it another one"
            )
    return found
