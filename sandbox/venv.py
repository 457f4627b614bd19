"""Virtual environments made on the operator's machine for a path on another.

Machines have no route to a package index, so the operator's own uv resolves, downloads and checks the hashes here, with
whatever index, proxy and cache it is set up for; then the paths inside are set right. Same interpreter, same byte code.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from sandbox import interpreter
from sandbox.cgroup import Cgroup, run_in
from sandbox.errors import SandboxError
from sandbox.layout import CHECKOUT
from sandbox.shell import run


def build(tree: Path, inside: Path, lock: Path, cgroup: Cgroup, temporary: Path) -> Path:
    """Return ``tree``, a layer with the virtual environment ``inside``; build it from ``lock`` when it is not there.

    Raises:
        SandboxError: uv is missing or failed: no route to an index, a hash that differs, no room.
    """
    if tree.exists():
        return tree
    building = tree.with_name(f"{tree.name}.partial")
    shutil.rmtree(building, ignore_errors=True)
    venv = building / inside.relative_to("/")
    venv.parent.mkdir(parents=True)
    found = interpreter.find()
    uv = _uv()
    run_in(cgroup, [uv, "venv", "--no-config", "--python", found.executable, venv], temporary=temporary, timeout=60)
    run_in(
        cgroup,
        # From the root folder: in the checkout, uv would keep out of any lock what its pyproject.toml excludes.
        [
            "env",
            "-C",
            "/",
            uv,
            "pip",
            "sync",
            "--no-build",
            "--require-hashes",
            "--compile-bytecode",
            "--python",
            venv / "bin/python",
            lock,
        ],
        temporary=temporary,
        timeout=900,
    )
    _move(venv, inside, found)
    building.rename(tree)
    return tree


def install(folder: Path, *packages: str) -> Path:
    """A virtual environment of this machine's with these packages, or options of `uv pip`; made once.

    Raises:
        SandboxError: uv is missing, or failed.
    """
    done = folder / "complete"
    if not done.exists() or done.read_text() != "\n".join(packages):
        run([_uv(), "venv", "--quiet", "--clear", "--no-config", "--python", sys.executable, folder], timeout=60)
        run([_uv(), "pip", "install", "--quiet", "--python", folder / "bin/python", *packages], timeout=900)
        done.write_text("\n".join(packages))
    return folder


def _uv() -> str:
    beside = CHECKOUT / ".venv/bin/uv"
    uv = (
        str(beside)
        if beside.exists()
        else shutil.which("uv", path=str(Path(sys.executable).parent)) or shutil.which("uv")
    )
    if uv is None:
        raise SandboxError("uv is not installed; remedy: `./hublab deploy`, which brings it, or pip install uv")
    return uv


def _move(venv: Path, inside: Path, found: interpreter.Interpreter) -> None:
    """Let every path in the environment be that of the machine it is for."""
    link = venv / "bin/python"
    link.unlink()
    link.symlink_to(found.inside)
    config = venv / "pyvenv.cfg"
    lines = [
        f"home = {found.inside.parent}" if line.startswith("home = ") else line
        for line in config.read_text().splitlines()
    ]
    config.write_text("\n".join(lines) + "\n")
    here, there = bytes(venv), bytes(inside)
    for script in (venv / "bin").iterdir():
        if not script.is_symlink() and here in (text := script.read_bytes()):
            script.write_bytes(text.replace(here, there))
