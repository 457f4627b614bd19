"""What is left when a storm is over: nothing that would have to be done by hand; then the verdict."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from flows.recipients.suppression import TAG
from sandbox.campaign.leaving import Leavers, too_late
from sandbox.campaign.mails import accepted_by_place, runs_of
from sandbox.campaign.verdict import Outcome, judge
from sandbox.runs import pages
from sandbox.server import await_ready

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

    from sandbox.campaign.core import Campaign

_LOOK_EVERY = 10.0
_SETTLED_SECONDS = 600.0  # after the last fault
_SHOWN = 12  # lines of `./hublab status`
_OVERDUE = timedelta(seconds=60)  # a worker that has room takes what is due at its next poll


def settled(
    campaign: Campaign, keys: list[str], last_fault: float | None = None, leavers: Leavers | None = None
) -> Outcome:
    """What is still on its way arrives: records, events, runs to be run again; then judge.

    Args:
        campaign: Whose mails.
        keys: The enrolments.
        last_fault: When things were last disturbed, by `time.monotonic`; now, if it is not given.
        leavers: Who has unsubscribed in the midst. With them, all that is left to be done by hand counts as well.

    Raises:
        SandboxError: Prefect's server does not come back.
    """
    await_ready(campaign.sandbox.server, campaign.sandbox.auth)  # it may have been struck last
    since = time.monotonic() if last_fault is None else last_fault
    deadline = max(since + _SETTLED_SECONDS, time.monotonic() + _LOOK_EVERY)
    while True:
        outcome = look(campaign, keys, leavers)
        if leavers is not None and outcome.clean and (status := campaign.status()).returncode:
            outcome.by_hand = [line for line in status.stdout.splitlines() if ":" in line][-_SHOWN:]
        if outcome.clean or outcome.doubled or outcome.to_who_left or time.monotonic() > deadline:
            return outcome
        time.sleep(_LOOK_EVERY)


def look(campaign: Campaign, keys: list[str], leavers: Leavers | None = None) -> Outcome:
    """The verdict as things are now."""
    left = leavers.keys if leavers else set()
    outcome = judge(campaign.mails(keys), keys, _pages(campaign, "sequence"), _pages(campaign, "analytics"), left)
    if leavers is not None:
        outcome.left = len(leavers.wanted)
        with campaign.sandbox.api() as api:
            outcome.by_hand = [*_not_kept(api, leavers), *to_do(pages(api, "/flow_runs/filter", {}), datetime.now(UTC))]
            outcome.to_who_left = list(_to_who_left(campaign, api, leavers))
    return outcome


def to_do(runs: Iterator[dict[str, Any]], now: datetime) -> list[str]:
    """The runs that somebody would have to see to: ended badly, or due and with nobody. Pure."""
    found = []
    for run in runs:
        kind, due = run["state_type"], run["next_scheduled_start_time"] or run["expected_start_time"]
        waits = kind == "PAUSED" or datetime.fromisoformat(due) > now - _OVERDUE
        if kind in {"FAILED", "CRASHED"} or (kind not in {"COMPLETED", "CANCELLED"} and not waits):
            found.append(f"{run['name']} is {run['state_name']}")
    return found


def _not_kept(api: httpx.Client, leavers: Leavers) -> list[str]:
    """Who has left, and of whom Prefect does not know it; and who could not leave at all."""
    known = leavers.recorded(_suppressions(api))
    return [
        f"{email} has left, and is not on record" if email in leavers.told else f"{email} could not leave"
        for email in leavers.wanted
        if email not in known
    ]


def _to_who_left(campaign: Campaign, api: httpx.Client, leavers: Leavers) -> Iterator[str]:
    recorded = leavers.recorded(_suppressions(api))
    runs = runs_of(api, leavers.keys)
    when = {
        place: datetime.fromisoformat(mail["created_at"])
        for mail in campaign.standin("resend")["mails"]
        for place in accepted_by_place([mail])
    }
    for email, since in recorded.items():
        for (key, step), accepted in when.items():
            if key != leavers.wanted[email] or accepted <= since:
                continue
            run = runs.get((key, step))
            begun = _begun(api, run["id"]) if run else []
            if too_late(accepted, begun, since):
                yield f"{key}:{step}"


def _begun(api: httpx.Client, run: str) -> list[datetime]:
    states = api.get("/flow_run_states/", params={"flow_run_id": run}).raise_for_status().json()
    return [datetime.fromisoformat(state["timestamp"]) for state in states if state["type"] == "RUNNING"]


def _suppressions(api: httpx.Client) -> list[dict[str, Any]]:
    return list(pages(api, "/variables/filter", {"variables": {"tags": {"all_": [TAG]}}, "sort": "NAME_ASC"}))


def _pages(campaign: Campaign, database: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = campaign.standin("notion")["pages"][f"notion-email-{database}-db-id"]
    return found
