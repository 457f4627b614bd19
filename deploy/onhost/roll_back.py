"""Undoes an unfinished rollout on one host: credentials, then each worker that was moved, gated as it was before."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from deploy.onhost.before import clear, restore_secrets, saved
from deploy.onhost.common import HostError, read, say
from deploy.onhost.roll_webhooks import put_back as put_webhooks_back
from deploy.onhost.unit_text import environment
from deploy.onhost.worker_unit import Moves, carries_its_credentials, put_back, show

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class RollBack(Moves):
    """No more than every move needs: the host itself knows what to put back."""


def serves(unit: str, path: Path, text: str) -> bool:
    """Whether a worker runs on just this unit, as systemd knows it, and on its credential; or is absent, as it was."""
    if not text:
        return not path.exists()
    shown = show(unit)
    runs = shown["ActiveState"] == "active" and shown["NeedDaemonReload"] == "no"
    return runs and read(path).decode() == text and carries_its_credentials(unit, text)


def label(path: Path, text: str) -> str:
    """A unit by its worker's name, as the unit that is there now says, else the one of before."""
    told = environment(text) or environment(read(path).decode())
    return told.get("HUBLAB_WORKER_NAME", "webhooks" if "@" not in path.name else path.name)


def main(query: RollBack) -> int:
    """0: every worker is what it was. 1: some could not be put back; each is tried, whatever became of the others."""
    os.umask(0o022)
    folder, failed = query.places.before, []
    try:
        restore_secrets(folder, query.places.secrets)
    except OSError as error:
        say(f"the credentials could not be put back: {error}")
        failed.append("credentials")
    for unit, text in reversed(saved(folder).items()):
        path = query.places.units / unit
        worker = label(path, text)
        try:
            if serves(unit, path, text):
                continue
            if "@" in unit:
                put_back(query, unit, worker, text)
            else:
                put_webhooks_back(query, unit, text)
        except (HostError, OSError) as error:
            say(f"{worker}: could not be put back: {error}")
            failed.append(unit)
    if failed:
        return 1
    clear(folder)
    return 0
