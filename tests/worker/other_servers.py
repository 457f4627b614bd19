"""Prefect servers of other versions than the workers': environments from locks, kept between runs of the tests."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

from tests.worker.world import TOP

LOCKS = {
    "3.4.1": TOP / "sandbox/past/requirements.lock",
    "3.9.1": TOP / "tests/worker/newest/requirements.lock",
}
"""Version → what its environment is made of: the oldest that the workers are made for, and the newest."""


def program(version: str) -> str:
    """The `prefect` of that version; its environment is built when it is not there.

    Raises:
        subprocess.CalledProcessError: It could not be built; what the installer said is on stderr.
    """
    lock = LOCKS[version]
    folder = TOP / ".hublab" / f"prefect-{version}-{hashlib.sha256(lock.read_bytes()).hexdigest()[:8]}"
    if not (folder / "complete").exists():
        uv = str(Path(sys.executable).with_name("uv"))
        subprocess.run([uv, "venv", "-q", "--clear", "--python", sys.executable, folder], check=True)
        python = str(folder / "bin/python")
        subprocess.run([uv, "pip", "sync", "-q", "--require-hashes", "--python", python, lock], check=True)
        (folder / "complete").touch()
    return str(folder / "bin/prefect")
