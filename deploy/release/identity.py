"""Which release is wanted: a digest over the lock, the Python version and the code that is shipped."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from deploy import campaigns
from deploy.env_file import ROOT
from deploy.onhost.build_release import Contents
from deploy.release import requirements

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from deploy.state import Release

SHIPPED = ("worker", "flows")
SUFFIXES = frozenset({".py", ".toml", ".json", ".typed"})

# Blocks uvloop for every interpreter of the venv, even where somebody installs it, and puts the code on the path.
# site.py reads it at start: a line that begins with `import` is executed, any other is a folder for sys.path.
GUARD = 'import sys; sys.modules.setdefault("uvloop", None)\n{release}\n'


@dataclass(frozen=True)
class Code:
    """The files that are shipped, as path relative to the release → content."""

    files: Mapping[str, bytes]

    @property
    def digest(self) -> str:
        """One digest over names and contents; `inspect_host.py` computes the same on the host."""
        total = hashlib.sha256()
        for name in sorted(self.files):
            total.update(name.encode() + b"\0" + hashlib.sha256(self.files[name]).digest())
        return total.hexdigest()


@cache
def shipped_code(root: Path = ROOT) -> Code:
    """Everything that runs on the host: the worker and the flows, the operator's own campaigns among them.

    Raises:
        SettingsError: HUBLAB_CAMPAIGNS cannot be used.
    """
    paths = (
        path for folder in SHIPPED for path in (root / folder).rglob("*") if path.is_file() and path.suffix in SUFFIXES
    )
    ours = {str(path.relative_to(root)): path.read_bytes() for path in sorted(paths) if "__pycache__" not in path.parts}
    return Code(ours | campaigns.files(root))


def release_id(python_version: str, python_prefix: str) -> str:
    """`<Prefect's version>-<digest>-<Python's digest>`: the same inputs give the same name on every host.

    Args:
        python_version: of the host's interpreter, `3.12.1`.
        python_prefix: where it lies; the release's venv points there.
    """
    content = _digest(requirements.text().encode(), shipped_code().digest.encode(), GUARD.encode())
    python = _digest(python_version.encode(), python_prefix.encode())
    return f"{requirements.locked_versions()['prefect']}-{content[:10]}-{python[:6]}"


def contents(release: str, python_version: str) -> Contents:
    """What that release of this checkout is to be, for an interpreter of that version."""
    code, prefect = shipped_code(), requirements.locked_versions()["prefect"]
    return Contents(release, prefect, python_version, code.digest, tuple(sorted(code.files)))


def _digest(*parts: bytes) -> str:
    return hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()


def set_of(release: str) -> str:
    """What releases of one lock and code have in common, whatever Python each was built for: `3.9.1-1a2b3c4d5e`.

    One that an earlier version built has its Python in its only digest: it is a set of its own.
    """
    return "-".join(release.split("-")[:2])


def choose(wanted: str, releases: Mapping[str, Release]) -> tuple[str, bool]:
    """The release to run and whether it must be built.

    A finished release that was tampered with is not mended in place, since workers run from it:
    a fresh one is built beside it, under the next number. The newest serves: those before it may be gone again.
    """
    built = [0, *(_attempt(name, wanted) for name, item in releases.items() if item.complete)]
    newest = _named(wanted, max(built))
    if newest in releases and releases[newest].intact:
        return newest, False
    return _named(wanted, max(built) + 1), True


def _named(wanted: str, attempt: int) -> str:
    return wanted if attempt == 1 else f"{wanted}.{attempt}"


def _attempt(name: str, wanted: str) -> int:
    """Which one it is of those that were built as `wanted`; 0: none of them."""
    rest = name.removeprefix(wanted)
    if name == wanted:
        return 1
    return int(rest[1:]) if rest != name and rest[0] == "." and rest[1:].isdecimal() else 0
