"""How long a program may take on a host before the host itself ends it. Pure; in seconds.

Each is far more than what the program's own limits add up to: who meets one has hung.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from deploy.onhost.lock import Lock
from deploy.remote import LIMIT_SECONDS, name_of

if TYPE_CHECKING:
    from deploy import spec
    from deploy.onhost.wire import Query
    from deploy.planned import Plan
    from deploy.state import HostState

STOP = re.compile(r"^TimeoutStopSec=(\d+)$", re.MULTILINE)
SLACK_SECONDS = 600
BUILD_SECONDS = 3600


def stop_seconds(wanted: spec.WorkerHost, plan: Plan, state: HostState) -> int:
    """The longest time that any worker of the host may take to stop, the units of before and those to come."""
    texts = [step.unit for step in plan.workers] + [worker.unit_text for worker in state.workers.values()]
    return max([wanted.drain_seconds + 60, *(int(found) for text in texts for found in STOP.findall(text))])


def seconds(query: Query, wanted: spec.WorkerHost, plan: Plan, state: HostState) -> float:
    """For the program that a question is for."""
    stop = stop_seconds(wanted, plan, state)
    move = stop + wanted.gate_seconds + SLACK_SECONDS
    count = len(plan.workers) + len(plan.surplus) + len(state.workers) + 1
    if isinstance(query, Lock):
        return query.patience_seconds + LIMIT_SECONDS
    return {
        "build_release": BUILD_SECONDS,
        "roll_worker": 2 * move,
        "roll_webhooks": 2 * (wanted.gate_seconds + SLACK_SECONDS),
        "roll_back": (count + 2) * move,  # and a step of the same deploy that it may have to wait for
        "watch_canary": wanted.canary_seconds + LIMIT_SECONDS,
        "legacy.workers": (1 + len(plan.legacy)) * (wanted.drain_seconds + SLACK_SECONDS),
        "decommission": len(state.workers) * (stop + LIMIT_SECONDS) + SLACK_SECONDS,
        "finish_host": len(plan.surplus) * (stop + LIMIT_SECONDS) + SLACK_SECONDS,
    }.get(name_of(query), LIMIT_SECONDS)
