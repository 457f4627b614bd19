"""Prefect servers of other versions than the workers': environments from locks, kept between runs of the tests."""

from __future__ import annotations

from pathlib import Path

from sandbox import server, venv

_HERE = Path(__file__).parent
_TOP = _HERE.parents[1]
OLDEST, NEWEST = "3.4.1", "3.9.1"
LOCKS = {
    OLDEST: _TOP / "sandbox/past/requirements.lock",
    "3.6.6": _HERE / "3.6.6/requirements.lock",
    NEWEST: _HERE / "newest/requirements.lock",
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
