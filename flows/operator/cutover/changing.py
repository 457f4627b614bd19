"""The writes that both ways have. A run's state is changed only where the run still only waits a moment before."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from prefect.states import Cancelled, Completed, Scheduled

from flows.operator.cutover import fates, writes
from flows.services import notion_schema as schema

if TYPE_CHECKING:
    from prefect.client.schemas.objects import State

    from flows.operator.cutover.writes import Write
    from flows.services.notion_gateway import NotionGateway
    from flows.services.prefect_api import Prefect


def nobody_has(prefect: Prefect, run: str) -> bool:
    """Whether no worker has a run, and it has not done its work: it waits, ended badly, or its worker is long gone."""
    state = prefect.client.read_flow_run(run).state
    if state is None or state.is_completed() or state.is_cancelled():
        return False
    gone = datetime.now(UTC) - state.timestamp > fates.STALE
    return bool(state.is_scheduled() or state.is_paused() or state.is_failed() or state.is_crashed() or gone)


def apply(prefect: Prefect, notion: NotionGateway, one: Write, name: str) -> bool:
    """One of them; a run that is cancelled gets a state of that name. Whether it was done."""
    if one.what == writes.PAGE:
        notion.update(schema.SEQUENCE, one.at, one.values)
    elif one.what == writes.REVIVE:
        schedule_again(prefect, one)
    elif one.what == writes.SETTLE:
        return settle(prefect, one)
    else:
        return cancel(prefect, one, name)
    return True


def cancel(prefect: Prefect, one: Write, name: str) -> bool:
    """Cancel a run by a state of that name: its parameters stay, and are the way back. Whether it was done."""
    return _set(prefect, one, Cancelled(name=name, message=one.message))


def settle(prefect: Prefect, one: Write) -> bool:
    """End a run whose mail went out without it. Whether it was done."""
    return _set(prefect, one, Completed(name=one.name, message=one.message))


def schedule_again(prefect: Prefect, one: Write) -> None:
    """Schedule a run that was cancelled here, at its old time."""
    again: State[Any] = Scheduled(scheduled_time=one.due or datetime.now(UTC), message="scheduled again")
    prefect.client.set_flow_run_state(one.at, again, force=True)


def _set(prefect: Prefect, one: Write, state: State[Any]) -> bool:
    if not nobody_has(prefect, one.at):
        return False
    prefect.client.set_flow_run_state(one.at, state, force=True)
    return True
