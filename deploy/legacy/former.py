"""All that a deploy needs to know of a host's former workers, as one answer; changes nothing."""

from __future__ import annotations

from typing import Any

from deploy.legacy.find import everyone
from deploy.legacy.starters import CRON, starters
from deploy.legacy.units import others

NOTHING: dict[str, Any] = {"workers": [], "claims": [], "units": [], "strangers": [], "starters": []}


def former(query: dict[str, Any]) -> dict[str, Any]:
    """Workers that are proven to be some, what only says so, their units, and what would start them again."""
    workers, claims = everyone(query["units"], query["base"])
    units, strangers = others(query["base"], query["unit"])
    by_cron = {item["user"] for item in workers if item["unit"] in CRON}
    return {
        "workers": workers,
        "claims": claims,
        "units": units,
        "strangers": strangers,
        "starters": starters(by_cron),
    }
