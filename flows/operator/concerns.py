"""What the operator should hear of: by the state at Prefect as it is now, never by an event. A few calls."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any

from flows.campaigns.clock import instant
from flows.operator.alerting import MANY
from flows.operator.deployments import workers
from flows.operator.figures import LATE
from flows.operator.register import ENTRYPOINTS, flow_of
from flows.operator.retry_failed import DAYS, PAGE, cause, failed, withheld
from flows.operator.watch_schedule import ENTRYPOINT as WATCH
from flows.recipients import edits
from flows.recipients.suppression import TAG
from flows.services.errors import NotionTooManyError
from flows.services.prefect_api import ALARM
from flows.services.words import counted

if TYPE_CHECKING:
    from flows.services.prefect_api import Prefect

UNCLAIMED = timedelta(minutes=10)  # a crashed run is run again by the workers before that
SILENT, GONE = timedelta(minutes=5), timedelta(days=1)
SHOWN = 5  # causes
STUCK = 4  # tries: a service has been away for a quarter of an hour
EARLIER = "christmas-2025"  # a tag of the earlier system's deployments, which its runs have
LEFT = frozenset({"Bounced", "Complained", "Suppressed"})


@dataclass(frozen=True)
class Concern:
    """One kind of trouble: `items` by what tells them apart, each with a line about it."""

    kind: str
    title: str
    items: dict[str, str]
    remedy: str


def concerns(prefect: Prefect, pool: str, now: datetime) -> list[Concern]:
    """Everything that somebody should hear of now. Raises httpx.HTTPError when Prefect cannot be asked."""
    found = [*ended_badly(prefect, now), late(prefect, now), postponed(prefect), silent(prefect, pool, now)]
    return [
        one
        for one in (*found, customers(prefect), suppressed(prefect), alarms(prefect, now), earlier(prefect))
        if one.items
    ]


def ended_badly(prefect: Prefect, now: datetime) -> list[Concern]:
    """Failed runs, and those that were lost and are not run again any more."""
    ended = ((run, run.state) for run in failed(prefect, DAYS) if run.state is not None)
    names = {True: ("failed", "failed"), False: ("lost", "given up or lost")}
    groups: dict[bool, dict[str, str]] = {True: {}, False: {}}
    counts = Counter[bool]()
    for run, state in sorted(ended, key=lambda one: one[1].timestamp, reverse=True):
        broken = state.is_failed()
        if broken or state.name == "GaveUp" or now - state.timestamp > UNCLAIMED:
            counts[broken] += 1
            if len(groups[broken]) < MANY:
                # By its state: one that was run again and fails once more is new.
                groups[broken][state.id.hex[-8:]] = f"{run.name}: {cause(run)}"
    remedy = "once the cause is mended: `./hublab campaign retry-failed`"
    return [Concern(names[one][0], f"{counts[one]} {names[one][1]}", groups[one], remedy) for one in (True, False)]


def _scheduled(more: dict[str, Any]) -> dict[str, Any]:
    flows = {"name": {"any_": [flow_of(one).name for one in ENTRYPOINTS if one != WATCH]}}
    return {"flows": flows, "flow_runs": {"state": {"type": {"any_": ["SCHEDULED"]}}} | more}


def _count(prefect: Prefect, more: dict[str, Any]) -> int:
    return int(prefect.client.request("POST", "/flow_runs/count", json=_scheduled(more)).json())


def late(prefect: Prefect, now: datetime) -> Concern:
    """Runs that are due for long and that no worker has begun."""
    minutes = int(LATE.total_seconds() / 60)
    count = _count(prefect, {"next_scheduled_start_time": {"before_": (now - LATE).isoformat()}})
    items = {"late": f"due for more than {minutes} minutes, and no worker has begun them"} if count else {}
    return Concern(
        "late", f"{count} late", items, "`./hublab campaign preflight`, `./hublab status`: is a worker there, and free?"
    )


def postponed(prefect: Prefect) -> Concern:
    """Runs that wait for a service: its quota is used up, or it has been away for long."""
    runs = prefect.pages("/flow_runs/filter", _scheduled({"state": {"name": {"any_": ["AwaitingRetry"]}}}))
    causes = Counter[str]()
    for run in runs:
        message = str(run["state"].get("message") or "")
        quota = "quota" in message
        if message.startswith("postponed: ") and (quota or run["run_count"] >= STUCK):
            causes["a quota is used up" if quota else message.removeprefix("postponed: ").partition(":")[0]] += 1
    items = {text[:40]: f"{count} because of: {text}" for text, count in causes.most_common(SHOWN)}
    return Concern("postponed", f"{causes.total()} wait for a service", items, "they go on by themselves; none is lost")


def silent(prefect: Prefect, pool: str, now: datetime) -> Concern:
    """Workers that were there today and are heard of no more."""
    items: dict[str, str] = {}
    for one in workers(prefect, pool):
        silence = now - instant(one["last_heartbeat_time"]) if one.get("last_heartbeat_time") else GONE
        if SILENT < silence < GONE and len(items) < MANY:
            items[one["name"][-30:]] = f"{one['name']}, for {int(silence.total_seconds() / 60)} minutes"
    title = f"{counted(len(items), 'worker', 'workers')} silent"
    return Concern("silent", title, items, "`./hublab status` says what became of them")


def customers(prefect: Prefect) -> Concern:
    """What a paying customer must get, and does not, because the address is suppressed or the record says so."""
    items = {
        run.state.id.hex[-8:]: f"{run.name}: {cause(run)}"
        for run in islice(withheld(prefect, DAYS), MANY)
        if run.state is not None
    }
    again = "`./hublab campaign allow ADDRESS`, then `./hublab campaign retry-failed --customers`"
    remedy = f"reach them another way, or {again}"
    return Concern("customers", f"{len(items)} of a customer's enrolments or mails skipped", items, remedy)


def suppressed(prefect: Prefect) -> Concern:
    """Addresses that bounced, complained or are on Resend's list: by a digest, not by the address."""
    asked = {"variables": {"tags": {"all_": [TAG]}}, "sort": "CREATED_DESC", "limit": PAGE}
    found = prefect.client.request("POST", "/variables/filter", json=asked).json()
    newest = [one for one in found if isinstance(one["value"], dict) and one["value"].get("cause") in LEFT][:MANY]
    items = {
        one["name"].partition("-")[2][:8]: f"{one['value']['cause'].lower()}, {one['value']['at'][:16]}"
        for one in newest
    }
    remedy = "nothing more goes to them; many at once: look at the sender's domain at Resend"
    return Concern("suppressed", "addresses bounced or complained", items, remedy)


def alarms(prefect: Prefect, now: datetime) -> Concern:
    """What the webhooks have met within a day: a limit that was reached, a no-show that could not be enrolled."""
    asked = {"variables": {"tags": {"all_": [ALARM]}}, "sort": "UPDATED_DESC", "limit": MANY}
    found = prefect.client.request("POST", "/variables/filter", json=asked).json()
    recent = [one for one in found if now - instant(one["value"]["at"]) < GONE]
    items = {one["name"].removeprefix("alarm-")[:60]: str(one["value"]["text"]) for one in recent}
    return Concern("alarms", "the webhooks met trouble", items, "docs/callers.md says what the limits are")


def earlier(prefect: Prefect) -> Concern:
    """Mails that the system before this one has scheduled: this release refuses their parameters."""
    count = _count(prefect, {"tags": {"any_": [EARLIER]}})
    items = {"earlier": "`./hublab campaign cutover` takes them over: docs/cutover.md"} if count else {}
    title = counted(count, "mail of the earlier system waits", "mails of the earlier system wait")
    return Concern("earlier", title, items, "they need a decision")


def unread(prefect: Prefect, error: Exception | None, now: datetime) -> list[Concern]:
    """That what people change in Notion cannot be read, for an hour or at all, with the `error` of the last look.

    In doubt no mail goes out: those that are due wait or fail meanwhile.
    """
    since = edits.not_since(prefect, now)
    stuck = isinstance(error, NotionTooManyError)  # edits are read, yet not what was too much at once
    if error is None or not (since or stuck):
        return []
    text = f"not all contacts can be read: {error}" if stuck else f"not read since {since}: {error}"
    items = {"stuck" if stuck else "away": text}
    remedy = "`./hublab campaign preflight` says what of Notion cannot be read; in doubt no mail goes out"
    return [Concern("edits", "what people change in Notion is not read", items, remedy)]
