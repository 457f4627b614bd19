"""Prefect servers of other versions than the workers': environments from locks, kept between runs of the tests."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

from sandbox import server, venv

_HERE = Path(__file__).parent
_TOP = _HERE.parents[1]
PREFECT = metadata.version("prefect")
"""The workers' own."""
OLDEST, BEFORE = "3.4.1", "3.8.8"
"""What some server still is; and what most are when their workers are deployed with this release."""
LOCKS = {
    OLDEST: _TOP / "sandbox/past/requirements.lock",
    "3.6.6": _HERE / "3.6.6/requirements.lock",
    BEFORE: _HERE / "3.8.8/requirements.lock",
    PREFECT: _TOP / "requirements.lock",
}
"""Version → what its environment is made of."""


def program(version: str) -> str:
    """The `prefect` of that version; its environment is built when it is not there.

    Raises:
        SandboxError: It could not be built.
    """
    lock = LOCKS[version]
    folder = _TOP / ".hublab" / f"prefect-{version}-{server.digest(lock)}"
    return str(venv.install(folder, "--require-hashes", "--requirement", str(lock)) / "bin/prefect")
