"""The week's summary: the campaign's counts per sequence, told the way that alerts are."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from flows.operator import alerting, campaign_status, figures

if TYPE_CHECKING:
    from datetime import datetime

    from flows.operator.campaign_status import Status
    from flows.services.prefect_api import Prefect
    from flows.services.settings import Settings

VARIABLE = "hublab_summary"


def text(status: Status) -> str:
    """The counts of each sequence, its steps together, and what needs somebody. Pure."""
    totals: dict[str, Counter[str]] = defaultdict(Counter)
    for step in status.steps:
        totals["/".join(step.where[:2])].update(step.counts)
    lines = []
    for name, counts in totals.items():
        known = [one for one in figures.COUNTS if not (status.untold and one in figures.FROM_NOTION)]
        people = max(step.counts["enrolled"] for step in status.steps if "/".join(step.where[:2]) == name)
        mails = ", ".join(f"{counts[one]:,} {one}" for one in known if one != "enrolled")
        lines.append(f"{name}: {people:,} enrolled; mails: {mails}")
    return "\n".join([*(lines or ["nobody is enrolled yet"]), *campaign_status.remedies(status)])


def send(prefect: Prefect, settings: Settings, now: datetime, due: datetime) -> str:
    """Send it once for the time that it is due at; what was done, in words.

    Raises:
        UndeliveredError: not every URL took it; run again it is sent again.
    """
    week = due.isoformat()
    kept = prefect.variable(VARIABLE) or {}
    if kept.get("sent_for") == week:
        return "sent already"
    status = campaign_status.read(now)
    found = "\n".join(alerting.clean(line, settings) for line in text(status).splitlines())
    taken, wrong = alerting.deliver(settings, f"Hublab: the campaign on {now:%Y-%m-%d}", found)
    if taken:
        prefect.remember(VARIABLE, {"sent_for": week})
    if wrong:
        raise UndeliveredError(f"the summary could not be delivered: {wrong}")
    return "summary sent"


class UndeliveredError(Exception):
    """A message that no service took, or not each; says which, by number and kind."""
