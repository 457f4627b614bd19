"""The Python that machines get: a copy of the one that runs the operator's virtual environment.

Debian 12 has only 3.11, and a machine without a route can fetch none. The operator's 3.12 (or 3.13) is there, works,
and is what the lock was resolved for. Under /usr/local of the tree it is where the `python:3.12` images have theirs.
"""

from __future__ import annotations

import os
import platform
import shutil
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from sandbox.errors import SandboxError
from sandbox.shell import run

_SUPPORTED = ((3, 12), (3, 13))
_LEFT_OUT = shutil.ignore_patterns(
    "test",
    "tests",
    "tkinter",
    "idlelib",
    "turtledemo",
    "site-packages",
    "dist-packages",
    "__pycache__",
    "config-*",
    "*.a",
)
# What a Prefect worker and uv need of the interpreter; each of these sits on a shared library of the system's.
_PROBE = "import bz2, ctypes, encodings.idna, hashlib, lzma, readline, sqlite3, ssl, uuid, venv, zlib"


@dataclass(frozen=True)
class Interpreter:
    """The operator's interpreter.

    Attributes:
        version: Major and minor, such as ``3.12``: the name of the program and of its library folder.
        executable: The program itself, not a virtual environment's link to it.
        library: Its standard library.
    """

    version: str
    executable: Path
    library: Path

    @property
    def inside(self) -> Path:
        """Path of the copy on a machine."""
        return Path("/usr/local/bin") / f"python{self.version}"


def find() -> Interpreter:
    """Return the interpreter behind the running one.

    Raises:
        SandboxError: It is neither 3.12 nor 3.13.
    """
    if sys.version_info[:2] not in _SUPPORTED:
        raise SandboxError(
            f"{sys.executable} is Python {platform.python_version()}; the lock is for 3.12 and 3.13; "
            "remedy: run `make deploy`, whose bootstrap looks for one, or call .venv/bin/python -m sandbox"
        )
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    executable = Path(sys.base_prefix, "bin", f"python{version}").resolve()
    if not executable.exists():
        raise SandboxError(f"{executable}: not there, though {sys.executable} says it comes from {sys.base_prefix}")
    return Interpreter(version, executable, Path(sysconfig.get_path("stdlib")))


def copy_into(tree: Path, interpreter: Interpreter) -> None:
    """Put the interpreter under /usr/local of ``tree``, byte-compiled, and prove that it starts there.

    Raises:
        SandboxError: It does not start in the tree: it was built for newer system libraries than Debian's.
    """
    local = tree / "usr/local"
    library = local / "lib" / f"python{interpreter.version}"
    (local / "bin").mkdir(parents=True, exist_ok=True)
    program = local / "bin" / f"python{interpreter.version}"
    shutil.copy2(interpreter.executable, program)
    shutil.copytree(interpreter.library, library, ignore=_LEFT_OUT, dirs_exist_ok=True, symlinks=True)
    (library / "site-packages").mkdir(exist_ok=True)
    for name in sorted((Path(sys.base_prefix) / "lib").glob(f"libpython{interpreter.version}*.so*")):
        shutil.copy2(name, local / "lib", follow_symlinks=False)
    include = Path("include") / f"python{interpreter.version}"
    if (sys.base_prefix / include).is_dir():
        shutil.copytree(sys.base_prefix / include, local / include, dirs_exist_ok=True)
    for path in [local, *local.rglob("*")]:
        os.chown(path, 0, 0, follow_symlinks=False)
    run(["chroot", tree, "ldconfig"], timeout=60)
    proof = run(["chroot", tree, interpreter.inside, "-c", _PROBE], timeout=60, check=False)
    if proof.returncode:
        raise SandboxError(
            f"{interpreter.executable} does not run in the sandbox's Debian:\n  {proof.stderr.strip()}\n"
            "  remedy: a Python built for older systems: `uv python install 3.12`, then rm -r .venv and call make again"
        )
    run(
        [
            "chroot",
            tree,
            interpreter.inside,
            "-m",
            "compileall",
            "-q",
            "-j2",
            f"/usr/local/lib/python{interpreter.version}",
        ],
        timeout=180,
    )
