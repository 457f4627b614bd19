"""What this checkout is, for what is measured with it."""

from __future__ import annotations

import subprocess

from sandbox.layout import CHECKOUT


def commit() -> str:
    """The commit, marked `-dirty` where files differ from it; `unknown` outside of a repository."""
    command = ["git", "describe", "--always", "--abbrev=12", "--dirty", "--exclude=*"]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"
