"""What was there before a rollout that has not ended: unit files, credentials, and which of the new units passed.

The folder is there exactly as long as a rollout is unfinished, whoever began it, also across a power cut.
"""

from __future__ import annotations

import hashlib
import shutil
from typing import TYPE_CHECKING

from deploy.onhost.common import read, say, sync_folder, write_atomically

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


def digest(text: str) -> str:
    """Of a unit's text."""
    return hashlib.sha256(text.encode()).hexdigest()


def begin(folder: Path) -> None:
    """From here on a rollout is unfinished."""
    (folder / "passed").mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)


def save(folder: Path, unit: str, text: str) -> None:
    """Keeps a unit as it was before the rollout's first move; an empty text: there was none."""
    begin(folder)
    if not (folder / unit).exists():
        write_atomically(folder / unit, text, 0o600)
        sync_folder(folder.parent)


def keep_secret(folder: Path, path: Path) -> None:
    """Keeps a credential as it was before the rollout, or that there was none; the first copy stays."""
    begin(folder)
    kept, absent = folder / path.name, folder / f"{path.name}.absent"
    if not kept.exists() and not absent.exists():
        write_atomically(kept if path.exists() else absent, read(path).decode(), 0o600)
        sync_folder(folder.parent)


def restore_secrets(folder: Path, paths: Iterable[Path]) -> None:
    """The credentials are those of before: none that came with the rollout stays on the host.

    Args:
        folder: of the unfinished rollout.
        paths: where each credential lies.
    """
    for target in paths:
        kept = folder / target.name
        if kept.exists() and read(kept) != read(target):
            write_atomically(target, read(kept).decode(), 0o600)
            say(f"{target} is the one of before")
        elif (folder / f"{target.name}.absent").exists() and target.exists():
            target.unlink()
            sync_folder(target.parent)
            say(f"{target} was new, and is gone again")
        remove_halves(target)


def remove_halves(path: Path) -> None:
    """What a power cut left of a file that was being written: a credential that nothing reads."""
    for pattern in (f".{path.name}.*", f"{path.name}.??????"):
        for half in path.parent.glob(pattern):
            half.unlink()


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
