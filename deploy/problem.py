"""What stands in the way of a deploy, as the operator reads it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Problem:
    """What stands in the way of a deploy, where, and what to do about it."""

    what: str
    remedy: str

    def __str__(self) -> str:
        """In one line."""
        return f"{self.what} -> {self.remedy}"
