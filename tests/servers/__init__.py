"""Prefect servers of other versions than the workers': environments from locks, kept between runs of the tests."""

from __future__ import annotations

import hashlib

from sandbox import venv
from tests.worker.world import TOP

LOCKS = {
    "3.4.1": TOP / "sandbox/past/requirements.lock",
    "3.9.1": TOP / "tests/worker/newest/requirements.lock",
}
"""Version → what its environment is made of: the oldest that the workers are made for, and the newest."""


def program(version: str) -> str:
    """The `prefect` of that version; its environment is built when it is not there.

    Raises:
        SandboxError: It could not be built.
    """
    lock = LOCKS[version]
    folder = TOP / ".hublab" / f"prefect-{version}-{hashlib.sha256(lock.read_bytes()).hexdigest()[:8]}"
    return str(venv.install(folder, "--require-hashes", "--requirement", str(lock)) / "bin/prefect")
