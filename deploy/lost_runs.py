"""The automations by which earlier deploys found lost flow runs; the next deploy removes them. Pure.

They heard of a run by Prefect's events, which a server that is killed forgets. The workers look at the runs themselves
(`worker.recovery`), and need none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

FORMER = (
    "hublab: mark lost runs",
    "hublab: mark lost runs that were never heard",
    "hublab: mark lost sub-flows that were never heard",
    "hublab: run lost runs again",
    "hublab: give up runs that are lost again and again",
)


def to_remove(pool: str, found: Mapping[str, str] | None) -> tuple[str, ...]:
    """The names of those that are at the server.

    Args:
        pool: the work pool; each had one automation of its own.
        found: name → description of the server's automations that are enabled; None: they cannot be read.
    """
    return tuple(name for name in (*FORMER, f"hublab: free stuck runs of {pool}") if name in (found or {}))
