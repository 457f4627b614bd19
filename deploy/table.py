"""Words, and rows of words, as text for a screen. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def render(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table with a line below its headings."""
    lines = [headings, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(headings))]
    text = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    return "\n".join([text[0], "  ".join("─" * width for width in widths), *text[1:]])


def grouped(said: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """What is said → all who say it; from who → what."""
    found: dict[str, list[str]] = {}
    for who, words in said.items():
        for one in words:
            found.setdefault(one, []).append(who)
    return found


def first(words: Sequence[str], most: int) -> str:
    """The first of some words, and how many more there are."""
    more = [f"{len(words) - most} more"] if len(words) > most else []
    return ", ".join([*words[:most], *more])
