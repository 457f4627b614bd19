"""Which of the mails that are due soon may go, by their records in Notion: read for all at once, once a minute.

It is the look at what people have edited, with the records of those mails asked for as well.

A send whose mail is on the list need not read its record. The list says who may get mail, and not who may not: a mail
that is not on it, for whatever reason, or a list that is old, means that the send reads the record itself.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from flows.campaigns import plan as plans
from flows.campaigns.model import CampaignError
from flows.campaigns.model import sequence as find_sequence
from flows.recipients import contact, control, edits
from flows.recipients.contact import UnreadableRecordError
from flows.recipients.edits import FRESH, fresh
from flows.sending import pacing
from flows.services.prefect_api import MAIL_FLOW

if TYPE_CHECKING:
    from flows.services.notion_gateway import NotionGateway
    from flows.services.prefect_api import Prefect

LIST = "hublab-mails-cleared"  # the variable
MOST = 200  # runs that Prefect gives at once; a variable holds as many


def look(prefect: Prefect, notion: NotionGateway, now: datetime) -> int:
    """Look as `edits.look`, and list which of the mails that are due before the next look may go; how many may.

    Raises as `edits.look`.
    """
    mails = [run["parameters"] for run in due(prefect, now + FRESH) if _is_ours(run["parameters"])]
    keys = sorted({str(one["enrolment"]["key"]) for one in mails})
    records = edits.look(prefect, notion, now, whole=True, keys=keys).records
    pages = {page["id"]: page for page in records}
    may = [
        _mark(one["enrolment"], one["step"])
        for one in mails
        if _may_go(pages.get(one["enrolment"]["page"]), one["enrolment"], one["step"], now)
    ]
    prefect.remember(LIST, {"looked": now.astimezone(UTC).isoformat(), "mails": may})
    return len(may)


def due(prefect: Prefect, until: datetime) -> list[dict[str, Any]]:
    """The runs of mails that wait and are due by then, the oldest first."""
    asked = {
        "flows": {"name": {"any_": [MAIL_FLOW]}},
        "flow_runs": {
            "state": {"type": {"any_": ["SCHEDULED"]}},
            "next_scheduled_start_time": {"before_": until.isoformat()},
        },
        "sort": "NEXT_SCHEDULED_START_TIME_ASC",
        "limit": MOST,
    }
    found: list[dict[str, Any]] = prefect.client.request("POST", "/flow_runs/filter", json=asked).json()
    return found


def cleared(kept: dict[str, Any] | None, enrolment: dict[str, Any], step: int, now: datetime) -> bool:
    """Whether a mail's record need not be read now, by the list as it is `kept`.

    So it is where the record was only just made; but only while somebody looks: who has nobody to look reads it. A mail
    that must wait for another of its enrolment reads it too: who signed up long ago, in an outage, has several due.
    """
    if not kept or not fresh(kept["looked"], now):
        return False
    return (fresh(enrolment.get("made"), now) and _is_first(enrolment, step)) or _mark(enrolment, step) in kept["mails"]


def _is_first(enrolment: dict[str, Any], step: int) -> bool:
    """Whether no other mail goes before it; in testing mode none waits for another."""
    first = min(plans.read(enrolment["plan"]), key=lambda one: (one.due, one.number))
    return bool(enrolment.get("testing")) or first.number == step


def _is_ours(parameters: dict[str, Any]) -> bool:
    """Whether a run is a mail of this release's, as `enrol.described` tells of it."""
    enrolment = parameters.get("enrolment")
    known = isinstance(enrolment, dict) and {"key", "page", "campaign", "sequence"} <= enrolment.keys()
    return known and isinstance(parameters.get("step"), int)


def _may_go(page: dict[str, Any] | None, enrolment: dict[str, Any], step: int, now: datetime) -> bool:
    """Whether a mail's record, and what it shows of the contact, are as they must be for it to go in its turn."""
    if page is None:
        return False
    try:
        sequence = find_sequence(enrolment["campaign"], enrolment["sequence"])
        plan = plans.of(sequence, enrolment)
        state = contact.shown(page)
        if state is None or control.why_not(page, state, sequence, plans.planned(plan, step).number):
            return False
    except (CampaignError, UnreadableRecordError):
        return False
    if enrolment.get("testing"):
        return True
    earliest = pacing.after_the_last(page, plan, step)
    return not pacing.still_to_come(page, plan, step) and (earliest is None or earliest <= now)


def _mark(enrolment: dict[str, Any], step: int) -> str:
    return hashlib.sha256(f"{enrolment['key']}:{step}".encode()).hexdigest()[:12]
