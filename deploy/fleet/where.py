"""`python -m deploy.fleet where [ROOT]`: the file that names the hosts; an empty line for the sandbox, up or not."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from deploy import env_file

USAGE = 2


def say_so(root: Path) -> None:
    """That the sandbox is meant, where there is a `.env` and somebody might think otherwise."""
    if os.path.lexists(root / ".env"):
        sys.stderr.write(".env names no host: the sandbox is meant\n")


def main() -> int:
    """0, or 2 when the file that decides cannot be used."""
    root = Path(sys.argv[2]) if sys.argv[2:] else env_file.ROOT
    try:
        found = env_file.decide(root)
    except env_file.SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return USAGE
    if found is None:
        say_so(root)
    sys.stdout.write(f"{found or ''}\n")
    return 0
