"""Drop-ins that somebody made for a unit of ours: moved aside before it is moved, brought back when it is put back."""

from __future__ import annotations

import shutil
from pathlib import Path

from deploy.onhost.common import say

KEEP = "drop-ins"
# systemd.unit(5): by hand, by `systemctl set-property`, the same two until the next boot, and by packages.
PLACES = (
    "/etc/systemd/system",
    "/etc/systemd/system.control",
    "/run/systemd/system",
    "/run/systemd/system.control",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
)


def folders(unit: str) -> list[Path]:
    """Where drop-ins of one unit lie, its template's too, whether they are there or not."""
    template = f"{unit.partition('@')[0]}@.service" if "@" in unit else unit
    return [Path(place, f"{name}.d") for place in PLACES for name in dict.fromkeys((unit, template))]


def set_aside(unit: str, before: Path) -> None:
    """Moves the drop-ins of a unit into the folder of the unfinished rollout, and says so."""
    keep = before / KEEP
    for folder in folders(unit):
        if folder.is_dir():
            kept = keep / str(folder).lstrip("/")
            shutil.rmtree(kept, ignore_errors=True)
            kept.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(folder, kept)
            say(f"{folder} is moved aside: the deploy's unit stands by itself")


def bring_back(unit: str, before: Path) -> None:
    """What was set aside for a unit is there again."""
    keep = before / KEEP
    for folder in folders(unit):
        kept = keep / str(folder).lstrip("/")
        if kept.is_dir() and not folder.exists():
            folder.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(kept, folder)


def retire(before: Path, retired: Path) -> None:
    """The rollout has passed: what was set aside is kept where nothing reads it."""
    keep = before / KEEP
    if keep.is_dir():
        shutil.rmtree(retired, ignore_errors=True)
        retired.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(keep, retired)
