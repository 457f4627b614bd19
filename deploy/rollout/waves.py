"""In which order hosts are taken: one, then a quarter, then the rest. Pure."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

QUARTER = 0.25


def waves[Item](items: Sequence[Item], most: int = 0) -> list[list[Item]]:
    """The hosts in groups: one group side by side, and the next only when it has passed.

    Args:
        items: the hosts, in the order in which they go.
        most: the largest group; 0 for no bound.
    """
    second = 1 + ceil(len(items) * QUARTER)
    groups = items[:1], items[1:second], items[second:]
    width = most or max(len(items), 1)
    return [list(group[start : start + width]) for group in groups for start in range(0, len(group), width)]
