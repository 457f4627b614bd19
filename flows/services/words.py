"""How a message says a number."""

from __future__ import annotations


def counted(number: int, one: str, more: str) -> str:
    """With the words that agree with it: `1 mail is`, `2 mails are`."""
    return f"{number} {one if number == 1 else more}"
