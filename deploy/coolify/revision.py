"""The checkout as Coolify would build it: its commit, and what of it Coolify would not see."""

from __future__ import annotations

import subprocess
from functools import cache
from typing import TYPE_CHECKING

from deploy import campaigns
from deploy.coolify.state import Revision
from deploy.env_file import ROOT
from deploy.release import identity, requirements

if TYPE_CHECKING:
    from pathlib import Path

BUILT = (*identity.SHIPPED, "requirements.lock", "deploy/container")
# A release's id holds the Python that it runs on, and only the image knows that one: all that it may be.
PYTHONS = [f"3.{minor}.{patch}" for minor in (12, 13) for patch in range(41)]
PREFIXES = ("/usr/local", "/usr")


def _git(root: Path, *words: str) -> str:
    try:
        done = subprocess.run(["git", "-C", str(root), *words], capture_output=True, text=True, check=False, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


@cache
def revision(root: Path = ROOT) -> Revision:
    """Asks git; without one, or outside of a repository, nothing is known."""
    commit = _git(root, "rev-parse", "HEAD")
    changed = _git(root, "status", "--porcelain", "--", *BUILT).splitlines() if commit else []
    branches = _git(root, "branch", "--remotes", "--contains", commit) if commit else ""
    return Revision(
        commit=commit,
        changed=tuple(line.split(maxsplit=1)[-1] for line in changed),
        pushed=bool(branches),
        remote=_git(root, "remote", "get-url", "origin"),
        branch=_git(root, "symbolic-ref", "--short", "HEAD"),
        folder=_git(root, "rev-parse", "--show-prefix").strip("/"),
        extra=tuple(sorted(campaigns.files(root))),
        packages=requirements.added(root).count("=="),
    )


@cache
def releases() -> frozenset[str]:
    """The ids that this checkout's release may have."""
    return frozenset(identity.release_id(version, prefix) for version in PYTHONS for prefix in PREFIXES)
