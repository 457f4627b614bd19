"""A run whose service is away waits at Prefect and is run again: nothing is lost, and no worker's place is held."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from prefect import runtime
from prefect.client.orchestration import get_client
from prefect.states import Scheduled

from flows.services.errors import ResendQuotaError, UnavailableError
from flows.services.log import log
from flows.services.server_clock import clock

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from prefect.client.schemas.objects import State

WAITS = (1, 2, 5, 10, 15)  # minutes, the last one over and over
MOST = 60  # tries: about 14 hours, well within the time that Resend keeps an idempotency key
AWAITS, POSTPONED = "AwaitingRetry", "postponed: "  # the state of a run that waits, and how its message begins
QUOTA_WAIT = 30  # minutes: a quota is reset once a day


class NotYetError(Exception):
    """A run that is well, and whose time has not come: it waits until `when`, however often."""

    def __init__(self, when: datetime, reason: str) -> None:
        """`reason` is shown with the run."""
        super().__init__(reason)
        self.when = when


def _run_count() -> int:
    return runtime.flow_run.run_count or 1


def will_postpone(error: Exception) -> bool:
    """Whether an error only makes the run wait: a time that has not come, or a service that is away and tries left."""
    return isinstance(error, NotYetError) or (
        isinstance(error, UnavailableError) and (_run_count() < MOST or _postponed() < MOST - 1)
    )


def _postponed() -> int:
    """How often in a row the run was postponed: a wait for its own time, of days in a pause, uses no patience up."""
    count = 0
    with get_client(sync_client=True) as client:
        states = client.read_flow_run_states(UUID(runtime.flow_run.id))
    for state in sorted(states, key=lambda one: one.timestamp, reverse=True):
        if state.name == AWAITS and not (state.message or "").startswith(POSTPONED):
            break
        count += state.name == AWAITS
    return count


def or_later(work: Callable[[], State[Any]]) -> State[Any]:
    """Do `work`; when a service does not answer, hand the run back to Prefect with a time to try again.

    Raises:
        UnavailableError: after the last of the tries.
        Exception: whatever else `work` raises.
    """
    try:
        return work()
    except NotYetError as error:
        return Scheduled(name=AWAITS, scheduled_time=error.when, message=f"waits: {error}")
    except Exception as error:
        if not will_postpone(error):
            raise
        run_count = _run_count()
        wait = QUOTA_WAIT if isinstance(error, ResendQuotaError) else WAITS[min(run_count, len(WAITS)) - 1]
        log().warning("postponed by %d min (try %d of %d): %s", wait, run_count, MOST, error)
        when = clock.now() + timedelta(minutes=wait)
        return Scheduled(name=AWAITS, scheduled_time=when, message=f"{POSTPONED}{error}")
