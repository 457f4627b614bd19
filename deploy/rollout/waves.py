"""In which order hosts are taken: one, then a quarter, then the rest. Pure."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

QUARTER = 0.25


def waves[Item](items: Sequence[Item]) -> list[list[Item]]:
    """The hosts in groups: one group side by side, and the next only when it has passed."""
    second = 1 + ceil(len(items) * QUARTER)
    return [list(group) for group in (items[:1], items[1:second], items[second:]) if group]
