"""The table of storms in the docs, a row for each, written by the command itself."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sandbox.checkout import commit
from sandbox.files import write_whole

if TYPE_CHECKING:
    from pathlib import Path

    from sandbox.campaign.chaos import Plan
    from sandbox.campaign.verdict import Outcome

HEAD = (
    "| when, commit | signups, mails | a strike every | strikes | answers spoilt | unsubscribed | took "
    "| lost | doubled | to who had left | records, deliveries wrong | left to be done |"
)


def add(path: Path, plan: Plan, outcome: Outcome) -> None:
    """Put a row under the table's head; a commit is marked where files differ from it.

    Raises:
        ValueError: The file has no such table.
    """
    lines = path.read_text().splitlines()
    try:
        place = lines.index(HEAD) + 2
    except ValueError:
        raise ValueError(f"{path}: the table that begins {HEAD[:40]!r} is not there") from None
    lines.insert(place, row(plan, outcome, f"{datetime.now(UTC):%Y-%m-%d %H:%M}, {commit()}", os.getloadavg()[0]))
    write_whole(path, "\n".join(lines) + "\n", mode=0o644)


def row(plan: Plan, outcome: Outcome, when: str, load: float) -> str:
    """One line of Markdown. Pure."""
    struck = sorted(outcome.killed.items(), key=lambda item: -item[1])
    wrong = len(outcome.not_recorded) + len(outcome.records_doubled)
    wrong += outcome.deliveries_missing + outcome.deliveries_doubled
    cells = (
        when,
        f"{outcome.enrolments}, {outcome.mails}",
        f"{plan.every:g} s",
        f"{sum(outcome.killed.values())}: " + ", ".join(f"{count} {what}" for what, count in struck),
        ", ".join(f"{count} of {service}'s" for service, count in sorted(outcome.spoilt.items())),
        str(outcome.left),
        f"{outcome.seconds / 60:.0f} min, load {load:.0f} on {os.cpu_count()} cores",
        *(str(count) for count in (len(outcome.lost), len(outcome.doubled), len(outcome.to_who_left), wrong)),
        str(len(outcome.by_hand)),
    )
    return f"| {' | '.join(cells)} |"
