"""What the workers were before a rollout that has not ended: their unit files, and which of the new ones passed.

The folder is there exactly as long as a rollout is unfinished, whoever began it, also across a power cut.
"""

from __future__ import annotations

import hashlib
import shutil
from typing import TYPE_CHECKING

from deploy.onhost.common import read, sync_folder, write_atomically

if TYPE_CHECKING:
    from pathlib import Path


def digest(text: str) -> str:
    """Of a unit's text."""
    return hashlib.sha256(text.encode()).hexdigest()


def save(folder: Path, unit: str, text: str) -> None:
    """Keeps a unit as it was before the rollout's first move; an empty text: there was none."""
    (folder / "passed").mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    if not (folder / unit).exists():
        write_atomically(folder / unit, text, 0o600)
        sync_folder(folder.parent)


def mark_passed(folder: Path, unit: str, text: str) -> None:
    """Notes that this very unit passed its gate."""
    write_atomically(folder / "passed" / unit, digest(text), 0o600)


def saved(folder: Path) -> dict[str, str]:
    """Unit → its text from before; nothing when no rollout is unfinished."""
    return {path.name: read(path).decode() for path in sorted(folder.glob("*.service"))}


def unfinished(folder: Path) -> dict[str, str]:
    """Unit → digest of the text that passed its gate in the unfinished rollout, or nothing."""
    return {name: read(folder / "passed" / name).decode() for name in saved(folder)}


def clear(folder: Path) -> None:
    """The rollout has ended. One rename first, so that a power cut leaves all of it or nothing."""
    if folder.exists():
        rubble = folder.with_name(f".{folder.name}.gone")
        shutil.rmtree(rubble, ignore_errors=True)
        folder.rename(rubble)
        sync_folder(folder.parent)
        shutil.rmtree(rubble, ignore_errors=True)
