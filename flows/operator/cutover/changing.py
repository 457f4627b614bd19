"""The writes that both ways have. A run's state is changed only where the run still only waits a moment before."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from prefect.states import Cancelled, Completed, Scheduled

from flows.campaigns.clock import instant
from flows.operator.cutover import fates, writes
from flows.services import notion_schema as schema

if TYPE_CHECKING:
    from collections.abc import Iterable

    from prefect.client.schemas.objects import State

    from flows.operator.cutover.writes import Write
    from flows.services.notion_gateway import NotionGateway
    from flows.services.prefect_api import Prefect


def free(prefect: Prefect, those: Iterable[Write]) -> frozenset[str]:
    """The runs among these writes that no worker has, and that have not done their work.

    They wait, ended badly, or their worker is long gone.
    """
    ids = [one.at for one in those if one.what in {writes.CANCEL, writes.WITHDRAW, writes.SETTLE}]
    found = prefect.pages("/flow_runs/filter", {"flow_runs": {"id": {"any_": ids}}}) if ids else ()
    return frozenset(run["id"] for run in found if _is_free(run))


def _is_free(run: dict[str, Any]) -> bool:
    state = run["state"] or {}
    if state.get("type") in {None, "COMPLETED", "CANCELLED"}:
        return False
    gone = datetime.now(UTC) - instant(state["timestamp"]) > fates.STALE
    return state["type"] in {"SCHEDULED", "PAUSED", "FAILED", "CRASHED"} or gone


def apply(prefect: Prefect, notion: NotionGateway, one: Write, name: str, free_: frozenset[str]) -> bool:
    """One of them; a run that is `free_` and cancelled gets a state of that name. Whether it was done."""
    if one.what == writes.PAGE:
        notion.update(schema.SEQUENCE, one.at, one.values)
    elif one.what == writes.REVIVE:
        schedule_again(prefect, one)
    elif one.at not in free_:
        return False
    elif one.what == writes.SETTLE:
        _set(prefect, one, Completed(name=one.name, message=one.message))
    else:
        # By a state, and not removed: its parameters stay, and are the way back.
        _set(prefect, one, Cancelled(name=name, message=one.message))
    return True


def schedule_again(prefect: Prefect, one: Write) -> None:
    """Schedule a run that was cancelled here, at its old time."""
    _set(prefect, one, Scheduled(scheduled_time=one.due or datetime.now(UTC), message="scheduled again"))


def _set(prefect: Prefect, one: Write, state: State[Any]) -> None:
    prefect.client.set_flow_run_state(one.at, state, force=True)
