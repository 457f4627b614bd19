"""How a message says a number, and where the settings are."""

from __future__ import annotations

import os


def counted(number: int, one: str, more: str) -> str:
    """With the words that agree with it: `1 mail is`, `2 mails are`."""
    return f"{number} {one if number == 1 else more}"


def env_file() -> str:
    """Where the operator's settings are, as a remedy names it: `.env`, but where `./hublab` says another."""
    return os.environ.get("HUBLAB_ENV_FILE") or ".env"
