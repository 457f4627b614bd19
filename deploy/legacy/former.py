"""All that a deploy needs to know of a host's former workers, as one answer; changes nothing."""

from __future__ import annotations

from dataclasses import dataclass

from deploy.legacy.find import everyone
from deploy.legacy.starters import CRON, starters
from deploy.legacy.units import others
from deploy.onhost.state import Claim, Legacy, LegacyUnit, Starter


@dataclass(frozen=True)
class Former:
    """Workers that are proven to be some, what only says so, their units, and what would start them again.

    `strangers`: units that go by the name of one of ours and are neither ours nor a worker's.
    """

    workers: tuple[Legacy, ...] = ()
    claims: tuple[Claim, ...] = ()
    units: tuple[LegacyUnit, ...] = ()
    strangers: tuple[str, ...] = ()
    starters: tuple[Starter, ...] = ()


def former(units: str, base: str, prefix: str) -> Former:
    """All of it.

    Args:
        units: where our units are.
        base: where our releases are.
        prefix: how the names of our units begin, before their number.
    """
    workers, claims = everyone(units, base)
    by_cron = {item.user for item in workers if item.unit in CRON}
    legacy, strangers = others(base, prefix)
    told = {unit.name for unit in legacy} | {item.unit for item in workers if item.unit and item.how}
    return Former(workers, claims, legacy, strangers, starters(by_cron, told))
