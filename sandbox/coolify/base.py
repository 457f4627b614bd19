"""The image that containers are built on where there is no registry: Debian with the operator's own Python.

As `python:3.12-slim` has it: the interpreter under /usr/local, and no compiler.
"""

from __future__ import annotations

import ensurepip
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from sandbox import interpreter, tree
from sandbox.cgroup import Cgroup, run_in
from sandbox.shell import step

if TYPE_CHECKING:
    from sandbox.layout import Layout

# `usr-is-merged` in the place of a package that brings Perl.
_INCLUDED = "ca-certificates,usr-is-merged"
# Of no use to a container; Debian's own slim images leave out the same.
_LEFT_OUT = ("doc", "man", "info", "locale")


def base(layout: Layout) -> Path:
    """The tree of it; built when it is not there."""
    found = interpreter.find()
    name = tree.suite()
    whole = layout.trees / f"image-{name}-py{found.version}"
    if whole.exists():
        return whole
    building = whole.with_name(f"{whole.name}.partial")
    shutil.rmtree(building, ignore_errors=True)
    building.parent.mkdir(parents=True, exist_ok=True)
    cgroup = Cgroup(f"{layout.cgroup}-image")
    try:
        with step(f"a base image of Debian {name} by mmdebstrap"):
            run_in(
                cgroup,
                ["mmdebstrap", "--mode=root", "--quiet", "--variant=essential", f"--include={_INCLUDED}",
                 "--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr",
                 *(f"--dpkgopt=path-exclude=/usr/share/{folder}/*" for folder in _LEFT_OUT), name, building],
                temporary=layout.temporary, timeout=900,
            )  # fmt: skip
    finally:
        cgroup.kill()
    interpreter.copy_into(building)
    # What a release does without, and `python -m venv` does not: the images have it.
    pip = Path(ensurepip.__file__).parent
    shutil.copytree(pip, building / f"usr/local/lib/python{found.version}/ensurepip")
    (building / "usr/local/bin/python").symlink_to(found.inside.name)
    building.rename(whole)
    return whole
