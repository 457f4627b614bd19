"""Byte code for a release's packages: taken over from a sibling where the source is the same, else compiled by uv.

Compiling 105 packages is most of what building a release costs, and two releases of which only the code or one package
differs have nearly all of them in common.
"""

from __future__ import annotations

import os
import shutil
import sys
from typing import TYPE_CHECKING

from deploy.onhost.common import read, revision

if TYPE_CHECKING:
    from pathlib import Path


def newest_sibling(release: Path) -> Path | None:
    """The finished release that was built last, other than this one."""
    finished = [
        (found.built, folder)
        for folder in release.parent.iterdir()
        if folder != release and (found := revision(folder)) and found.built
    ]
    return max(finished)[1] if finished else None


def adopt(site: Path, sibling: Path) -> int:
    """Take over the byte code of every module that is the same to the byte; returns how many.

    A module keeps the time of its sibling's source, since byte code is valid for one time and size: uv then leaves it
    alone, and compiles what is missing.

    Args:
        site: the new release's `site-packages`.
        sibling: the same folder of another release.
    """
    taken = 0
    for source in site.rglob("*.py"):
        before = sibling / source.relative_to(site)
        compiled = _compiled(before)
        if not compiled.is_file() or read(before) != read(source):
            continue
        times = before.stat()
        target = _compiled(source)
        target.parent.mkdir(exist_ok=True)
        shutil.copyfile(compiled, target)
        os.utime(source, ns=(times.st_atime_ns, times.st_mtime_ns))
        taken += 1
    return taken


def _compiled(source: Path) -> Path:
    """Where this interpreter looks for a module's byte code."""
    return source.parent / "__pycache__" / f"{source.stem}.{sys.implementation.cache_tag}.pyc"
