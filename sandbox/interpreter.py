"""The Python of the server, and of the workers of before: the one that runs the operator's virtual environment, moved.

Worker hosts are stock Debian, without it: there the deploy has to see to a Python itself.
"""

from __future__ import annotations

import platform
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from deploy import spec
from deploy.release import movable
from sandbox.errors import SandboxError
from sandbox.shell import run, step

if TYPE_CHECKING:
    from sandbox.layout import Layout


@dataclass(frozen=True)
class Interpreter:
    """The operator's interpreter.

    Attributes:
        version: Major and minor, such as ``3.12``: the name of the program and of its library folder.
        executable: The program itself, not a virtual environment's link to it.
    """

    version: str
    executable: Path

    @property
    def inside(self) -> Path:
        """Path of the copy on a machine that has it."""
        return Path(f"/opt/python{self.version}/bin/python{self.version}")


def find() -> Interpreter:
    """Return the interpreter behind the running one.

    Raises:
        SandboxError: It is neither 3.12 nor 3.13.
    """
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    if version not in spec.PYTHONS:
        raise SandboxError(
            f"{sys.executable} is Python {platform.python_version()}; the lock is for {' and '.join(spec.PYTHONS)}; "
            "remedy: run `./hublab deploy`, whose bootstrap looks for one, or call .venv/bin/python -m sandbox"
        )
    executable = Path(sys.base_prefix, "bin", f"python{version}").resolve()
    if not executable.exists():
        raise SandboxError(f"{executable}: not there, though {sys.executable} says it comes from {sys.base_prefix}")
    return Interpreter(version, executable)


def copy_into(tree: Path) -> None:
    """Put the interpreter under /usr/local of ``tree``, where the `python:3.12` images have theirs, byte-compiled.

    Raises:
        SandboxError: It cannot be moved.
    """
    moved = tree / "usr/local/.moved"
    _move(moved, "/usr/local")
    shutil.copytree(moved, tree / "usr/local", symlinks=True, dirs_exist_ok=True)
    shutil.rmtree(moved)


def _move(inside: Path, prefix: str) -> None:
    found = find()
    try:
        movable.own(inside)
    except movable.InterpreterError as error:
        raise SandboxError(
            f"{found.executable} cannot be moved to a machine: {error}; "
            "remedy: `uv python install 3.12`, then rm -r .venv and try again"
        ) from error
    compiler = [str(inside / f"bin/python{found.version}"), "-I", "-m", "compileall", "-q", "-j2"]
    run([*compiler, "-s", str(inside), "-p", prefix, str(inside / "lib")], timeout=180)


def layer(layout: Layout) -> Path:
    """Return the layer that has the interpreter below /opt; build it when it is not there.

    Raises:
        SandboxError: It cannot be moved.
    """
    found = find()
    tree = layout.trees / f"python-{platform.python_version()}"
    if tree.exists():
        return tree
    building = tree.with_name(f"{tree.name}.partial")
    shutil.rmtree(building, ignore_errors=True)
    inside = building / f"opt/python{found.version}"
    with step(f"Python {found.version} from this machine"):
        _move(inside, f"/opt/python{found.version}")
    (building / "usr/local/bin").mkdir(parents=True)
    (building / "usr/local/bin" / found.inside.name).symlink_to(found.inside)
    building.rename(tree)
    return tree
