"""What this checkout is, for what is measured with it."""

from __future__ import annotations

import subprocess

from sandbox.layout import CHECKOUT


def commit() -> str:
    """The commit, marked `-dirty` where files differ from it; `unknown` outside of a repository."""
    command = ["git", "describe", "--always", "--abbrev=12", "--dirty", "--exclude=*"]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def in_history(named: str) -> bool:
    """Whether a commit, as `commit` names it, is one that this checkout comes from, and anybody can look at."""
    command = ["git", "merge-base", "--is-ancestor", named, "HEAD"]
    return subprocess.run(command, cwd=CHECKOUT, capture_output=True, check=False).returncode == 0
