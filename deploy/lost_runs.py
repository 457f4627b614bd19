"""Prefect's own automations that find flow runs whose host is gone: what they must be. Pure.

A flow says by the tag `run-again`, on its deployment or its run, that running it a second time does no harm. The six:

- *silent*: a run sends a heartbeat every 30 s (the units ask for it); one that falls silent is marked `Lost`.
- *unheard*: a run that one of our workers took and that dies before the server has its first heartbeat is marked `Lost`
  too. Other workers' runs are left alone: nobody asks them for heartbeats, so they are silent and well.
- *unheard inside*: the same of a sub-flow, which no worker takes; only after a day, as it may be another worker's.
- *again*: a tagged run that is lost, or crashes by itself, is scheduled anew, as `RunAgain`.
- *stuck*: a run that was claimed and never began is scheduled anew, as `RunAgain`.
- *enough*: a run that comes to be `RunAgain` for the tenth time within a day is not run again; it ends as `GaveUp`.

No two act on one event: a silence belongs to the first three, a claim that leads nowhere to `stuck`, which comes before
`unheard`; `Lost` and `Crashed` are `again`'s, `RunAgain` is `enough`'s, and nobody's answer is `GaveUp`.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

SILENT_SECONDS = 90
# A start that takes this long is none, also on a machine that is out of breath; less would run a slow one twice.
STUCK_SECONDS = 300
# After our worker's claim: time to be freed as stuck, and then as long as a run may be silent.
UNHEARD_SECONDS = STUCK_SECONDS + SILENT_SECONDS
UNHEARD_INSIDE_HOURS = 24
MOST_TIMES, WITHIN_HOURS = 10, 24
TAG = "run-again"
AGAIN = "RunAgain"
# What a PENDING state is called between a worker's claim and the engine's start; a name that is missed is a run lost.
SUBMITTING = "HublabSubmitting"  # worker.process_worker's word for it
CLAIMED = ("Pending", "Submitting", "Submitted", "InfrastructurePending", SUBMITTING)
# What shows that a claim led somewhere. A name that is missing here, a flow's own for its end, does no harm: Prefect
# lets no run that has ended be called lost.
HEARD = (
    "heartbeat",
    *("Completed", "Failed", "Crashed", "Cancelled", "TimedOut", "Cached"),
    *("Cancelling", "Paused", "Suspended", "Scheduled", "Late", "AwaitingRetry", "AwaitingConcurrencySlot"),
    *("Lost", AGAIN, "GaveUp"),
)
RUNS = {"prefect.resource.id": "prefect.flow-run.*"}
ANYTHING = ("*",)
TAGGED = {"prefect.resource.role": "tag", "prefect.resource.id": f"prefect.tag.{TAG}"}
# A sub-flow is what a task run stands for in the flow around it.
INSIDE = {"prefect.resource.role": "task-run"}


def wanted(pool: str) -> tuple[dict[str, Any], ...]:
    """The automations as Prefect's API takes them; each description ends in a digest of the rest.

    Args:
        pool: the work pool whose claims are watched. Heartbeats do not say from which pool they are, so all else is
            the server's.
    """
    of_pool = {"prefect.resource.role": "work-pool", "prefect.resource.name": pool}
    crash, again = ("CRASHED", "Lost"), ("SCHEDULED", AGAIN)
    enough = _trigger("Reactive", (AGAIN,), after=(AGAIN,), within=WITHIN_HOURS * 3600)
    enough["threshold"] = MOST_TIMES - 1  # the first of them only opens the count
    too_often = (
        f"Lost or crashed {MOST_TIMES} times within {WITHIN_HOURS} h, so it is not run again. Its states and its log "
        "say why; mend that, then retry it."
    )
    return (
        _automation(
            "hublab: mark lost runs",
            _trigger("Proactive", ANYTHING, after=("heartbeat",), within=SILENT_SECONDS),
            (*crash, f"No heartbeat for {SILENT_SECONDS} s."),
        ),
        _automation(
            "hublab: mark lost runs that were never heard",
            _trigger("Proactive", HEARD, after=(SUBMITTING,), within=UNHEARD_SECONDS),
            (*crash, f"Nothing was heard of it for {UNHEARD_SECONDS} s after a worker took it."),
        ),
        _automation(
            "hublab: mark lost sub-flows that were never heard",
            _trigger("Proactive", ANYTHING, after=("Running",), within=UNHEARD_INSIDE_HOURS * 3600, related=INSIDE),
            (*crash, f"Nothing was heard of it for {UNHEARD_INSIDE_HOURS} h after it began."),
        ),
        _automation(
            "hublab: run lost runs again",
            _trigger("Reactive", ("Lost", "Crashed"), related=TAGGED),
            (*again, "Lost with its host, or crashed; to be run again."),
        ),
        _automation(
            f"hublab: free stuck runs of {pool}",
            _trigger("Proactive", ANYTHING, after=CLAIMED, within=STUCK_SECONDS, related=of_pool),
            (*again, f"Claimed {STUCK_SECONDS} s ago by a worker that is gone; to be run again."),
        ),
        _automation(
            "hublab: give up runs that are lost again and again",
            enough,
            ("CRASHED", "GaveUp", too_often),
        ),
    )


def to_set(pool: str, found: Mapping[str, str] | None) -> tuple[dict[str, Any], ...]:
    """Those that are missing at the server, or differ: any change makes Prefect forget whom an automation waits for.

    Args:
        pool: the work pool.
        found: name → description of the server's automations that are enabled; None: they cannot be read.
    """
    if found is None:
        return ()
    return tuple(item for item in wanted(pool) if found.get(item["name"]) != item["description"])


def _trigger(
    posture: str,
    expect: tuple[str, ...],
    *,
    after: tuple[str, ...] = (),
    within: int = 0,
    related: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    return {
        "type": "event",
        "match": RUNS,
        "match_related": dict(related or {}),
        "for_each": ["prefect.resource.id"],
        "posture": posture,
        "after": [f"prefect.flow-run.{name}" for name in after],
        "expect": [f"prefect.flow-run.{name}" for name in expect],
        "threshold": 1,
        "within": within,
    }


def _automation(name: str, trigger: dict[str, Any], to: tuple[str, str, str]) -> dict[str, Any]:
    state, state_name, message = to
    action = {"type": "change-flow-run-state", "state": state, "name": state_name, "message": message}
    body: dict[str, Any] = {"name": name, "enabled": True, "trigger": trigger, "actions": [action]}
    digest = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()[:12]
    return {**body, "description": f"Set by the Hublab deploy, which puts it right when it differs ({digest})."}
