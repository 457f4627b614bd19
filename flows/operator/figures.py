"""How a campaign stands: what became of each mail, counted per sequence and step. Pure.

Of a step, `enrolled` is always `due` + `sent` + `skipped` + `failed`.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from flows.campaigns.clock import instant
from flows.campaigns.model import normalised
from flows.recipients.suppression import record_name
from flows.sending.analytics import ORDER

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

COUNTS = ("enrolled", "due", "sent", "delivered", "opened", "bounced", "unsubscribed", "skipped", "failed")
FROM_NOTION = frozenset({"delivered", "opened", "bounced"})
DELIVERED = frozenset({"Delivered", "Opened", "Clicked", "Complained"})
OPENED = frozenset({"Opened", "Clicked"})
BOUNCED = frozenset({"Bounced", "Soft Bounced", "Suppressed", "Failed"})
LEFT = ("Unsubscribed", "Complained")
# A mail that is due is late when no worker has begun it after so long.
LATE = timedelta(minutes=15)
Where = tuple[str, str, int]
"""Campaign, sequence and step."""


@dataclass(frozen=True)
class Mail:
    """One mail of an enrolment, as its run at Prefect shows it; `since` is when it got this far, or is due."""

    enrolment: str
    where: Where
    template: str
    email: str
    outcome: str
    since: datetime


@dataclass
class Step:
    """One step's counts; `templates` by name, more than one by segment or after an edit."""

    where: Where
    templates: set[str] = field(default_factory=set)
    counts: Counter[str] = field(default_factory=Counter)


def outcome(state: Mapping[str, Any] | None) -> str:
    """What became of a mail by its run's state: `due`, `sent`, `skipped` or `failed`."""
    kind = state["type"] if state else "SCHEDULED"
    if kind == "COMPLETED":
        return "skipped" if state and state["name"] == "Skipped" else "sent"
    return {"CANCELLED": "skipped", "FAILED": "failed", "CRASHED": "failed"}.get(kind, "due")


def mail(run: Mapping[str, Any]) -> Mail | None:
    """The mail that a run sends; None for a run of another system, whose parameters are others."""
    try:
        enrolment, number = run["parameters"]["enrolment"], int(run["parameters"]["step"])
        where = (str(enrolment["campaign"]), str(enrolment["sequence"]), number)
        email, key = str(enrolment["email"]), str(enrolment["key"])
        names = [one["template"] for one in enrolment.get("plan", ()) if one["number"] == number]
    except (KeyError, TypeError, ValueError):
        return None
    state = run.get("state")
    became = outcome(state)
    if state and state["type"] != "SCHEDULED":
        when = run.get("end_time") if became == "sent" else state["timestamp"]
    else:
        when = run.get("next_scheduled_start_time")
    when = when or run.get("expected_start_time") or run["created"]
    return Mail(key, where, names[0] if names else "", normalised(email), became, instant(when))


def counted(
    mails: Iterable[Mail], rows: Iterable[Mapping[str, str]] | None, left: Mapping[str, Mapping[str, Any]]
) -> list[Step]:
    """The counts of every step that somebody is enrolled in, in order.

    `rows` are those of Email Analytics (`email`, `template`, `status`, `id`: Resend's), None when they cannot be read;
    `left` the records of suppression, by name.
    """
    steps: dict[Where, Step] = {}
    mails = list(mails)
    for one in mails:
        step = steps.setdefault(one.where, Step(one.where))
        step.templates |= {one.template} - {""}
        step.counts.update(("enrolled", one.outcome))
    by_mail = {(one.email, one.template): one for one in mails}
    for row in _latest(rows or ()):
        if found := by_mail.get((normalised(row["email"]), row["template"])):
            steps[found.where].counts.update(_told(row["status"]))
    for where in _departures(mails, left):
        steps[where].counts["unsubscribed"] += 1
    return [steps[where] for where in sorted(steps)]


def _latest(rows: Iterable[Mapping[str, str]]) -> Iterable[Mapping[str, str]]:
    """One row for each mail that Resend has; a row without Resend's id is a run's failure, which its state tells."""
    known: dict[str, Mapping[str, str]] = {}
    for row in rows:
        before = known.get(row["id"])
        if row["id"] and row["status"] in ORDER and (before is None or _rank(row) > _rank(before)):
            known[row["id"]] = row
    return known.values()


def _rank(row: Mapping[str, str]) -> int:
    return ORDER.index(row["status"])


def _told(status: str) -> list[str]:
    return [
        name for name, those in (("delivered", DELIVERED), ("opened", OPENED), ("bounced", BOUNCED)) if status in those
    ]


def _departures(mails: list[Mail], left: Mapping[str, Mapping[str, Any]]) -> Iterable[Where]:
    """For each mailbox that has left: the last mail sent to it before, or its first one."""
    people: dict[str, list[Mail]] = {}
    for one in mails:
        people.setdefault(record_name(one.email, LEFT[0]), []).append(one)
    for name, theirs in people.items():
        complained = record_name(theirs[0].email, LEFT[1])
        record = left.get(name) or left.get(complained)
        if record is not None:
            when = instant(str(record["at"]))
            before = [one for one in theirs if one.outcome == "sent" and one.since <= when]
            yield max(before, key=lambda one: one.since, default=min(theirs, key=lambda one: one.where)).where


def late(mails: Iterable[Mail], now: datetime) -> int:
    """How many mails should have gone out and have not."""
    return sum(one.outcome == "due" and now - one.since > LATE for one in mails)
