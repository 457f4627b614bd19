"""Prefect's own automations that find flow runs whose host is gone: what they must be. Pure.

A flow run sends a heartbeat every 30 s (the units ask for it). One that falls silent without having ended is marked
`Lost`, a kind of crash; if it carries the tag `run-again`, it is scheduled anew. So a flow says by its tag that running
it a second time does no harm. An ordinary crash is not touched: it would crash again.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

SILENT_SECONDS = 90
# A start that takes this long is none; less would run a slow one twice.
PENDING_SECONDS = 600
# The campaign's own runs have the second; `flows/recovery.py` runs them again after plain crashes too.
TAGS = ("run-again", "hublab")
# What a PENDING state is called between a worker's claim and the engine's start.
CLAIMED = ("Pending", "Submitting", "Submitted", "InfrastructurePending")
RUNS = {"prefect.resource.id": "prefect.flow-run.*"}


def wanted(pool: str) -> tuple[dict[str, Any], ...]:
    """The automations as Prefect's API takes them; each description ends in a digest of the rest.

    Heartbeats do not say from which pool they are, so the first two are the server's, not the pool's.
    """
    every = {"type": "event", "match": RUNS, "threshold": 1, "for_each": ["prefect.resource.id"]}
    silent = {
        **every,
        "posture": "Proactive",
        "after": ["prefect.flow-run.heartbeat"],
        "expect": ["prefect.flow-run.*"],
        "within": SILENT_SECONDS,
    }
    lost = {
        **every,
        "posture": "Reactive",
        "match_related": {
            "prefect.resource.role": "tag",
            "prefect.resource.id": [f"prefect.tag.{tag}" for tag in TAGS],
        },
        "expect": ["prefect.flow-run.Lost"],
        "within": 0,
    }
    stuck = {
        **every,
        "posture": "Proactive",
        "match_related": {"prefect.resource.role": "work-pool", "prefect.resource.name": pool},
        "after": [f"prefect.flow-run.{name}" for name in CLAIMED],
        "expect": ["prefect.flow-run.*"],
        "within": PENDING_SECONDS,
    }
    return (
        _automation("hublab: mark lost runs", silent, "CRASHED", "Lost", f"No heartbeat for {SILENT_SECONDS} s."),
        _automation("hublab: run lost runs again", lost, "SCHEDULED", "Scheduled", "Lost with its host; run again."),
        _automation(
            f"hublab: free stuck runs of {pool}", stuck, "SCHEDULED", "Scheduled", "Claimed by a worker that is gone."
        ),
    )


def to_set(pool: str, found: Mapping[str, str] | None) -> tuple[dict[str, Any], ...]:
    """Those that are missing at the server, or differ.

    Args:
        pool: the work pool.
        found: name → description of the server's automations that are enabled; None: they cannot be read.
    """
    if found is None:
        return ()
    return tuple(item for item in wanted(pool) if found.get(item["name"]) != item["description"])


def _automation(name: str, trigger: dict[str, Any], state: str, state_name: str, message: str) -> dict[str, Any]:
    action = {"type": "change-flow-run-state", "state": state, "name": state_name, "message": message}
    body: dict[str, Any] = {"name": name, "enabled": True, "trigger": trigger, "actions": [action]}
    digest = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()[:12]
    return {**body, "description": f"Set by the Hublab deploy, which puts it right when it differs ({digest})."}
