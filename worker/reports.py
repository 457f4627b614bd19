"""What Prefect is told of a flow run, and asked about it. What it refuses concerns that run alone: nothing is raised.

A run may have been deleted, and any request may be refused for good (`worker.patience` says when it gives up).
Prefect's own signals, such as `Pause` for a run that somebody paused, are no `Exception`: unhandled, they would end the
worker.
"""

from __future__ import annotations

import logging
import os
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from prefect.exceptions import ObjectNotFound, PrefectSignal
from prefect.runner._state_proposer import StateProposer
from prefect.states import AwaitingRetry
from prefect.utilities.engine import propose_state

if TYPE_CHECKING:
    from uuid import UUID

    from prefect.client.orchestration import PrefectClient
    from prefect.client.schemas.objects import FlowRun, State

    from worker.patience import ApiHealth

_log = logging.getLogger("prefect.hublab")


class Reports(StateProposer):
    """Reports for the runs of one worker."""

    def __init__(self, client: PrefectClient, health: ApiHealth, claim: str = "") -> None:
        """Report through `client`; `health` tells of outages, `claim` is what this worker's claims say."""
        super().__init__(client=client)
        self._claim = claim
        self._health = health
        self._begun_at: dict[UUID, float] = {}
        self._settled: set[UUID] = set()

    def begin(self, flow_run_id: UUID) -> None:
        """The run's engine is about to be started."""
        self._begun_at[flow_run_id] = time.monotonic()

    def settle(self, flow_run_id: UUID) -> None:
        """See to the run's next state here and nowhere else."""
        self._settled.add(flow_run_id)

    def is_settled(self, flow_run_id: UUID) -> bool:
        """Whether the run's next state has been seen to, so that a dead engine is no crash."""
        return flow_run_id in self._settled

    def forget(self, flow_run_id: UUID) -> None:
        """The run is no longer this worker's."""
        self._begun_at.pop(flow_run_id, None)
        self._settled.discard(flow_run_id)

    async def propose_crashed(self, flow_run: FlowRun, message: str) -> State | None:
        """The engine ended without a word of its own: a crash, unless its run never began because the API was away."""
        if self.is_settled(flow_run.id):
            return None
        self.settle(flow_run.id)
        if await self._is_anothers(flow_run.id):
            return None
        if await self._never_reached_the_api(flow_run.id) and await self.propose_again(
            flow_run.id, "Its engine could not reach the API at its start."
        ):
            return None
        try:
            return await super().propose_crashed(flow_run, message)
        except PrefectSignal as signal:
            _log.error("Flow run %s crashed, which Prefect does not accept: %s", flow_run.id, signal)
            return None

    async def propose_again(self, flow_run_id: UUID, reason: str, after: timedelta = timedelta(0)) -> bool:
        """Give the run back to Prefect, to be run again by any worker; a deleted one needs no more.

        Returns:
            False when its state does not allow that, or Prefect could not be told.
        """
        try:
            return await self._propose_again(flow_run_id, reason, after)
        except ObjectNotFound:
            return True
        except (Exception, PrefectSignal) as error:  # noqa: BLE001 - as at the top
            _log.error("Flow run %s could not be handed back: %s", flow_run_id, error or type(error).__name__)
            return False

    async def _propose_again(self, flow_run_id: UUID, reason: str, after: timedelta) -> bool:
        flow_run = await self._client.read_flow_run(flow_run_id)
        if flow_run.state is None or flow_run.state.is_final() or await self._is_anothers(flow_run_id):
            return True
        if flow_run.state.is_cancelling():
            cancelled = {"message": "Cancelled while its worker stopped."}
            # False: it was deleted in this moment.
            return await self.propose_cancelled(flow_run, cancelled) or True
        if flow_run.deployment_id is None:  # submitted by hand: no worker could load its flow
            await super().propose_crashed(flow_run, f"{reason} It has no deployment, so it cannot be.")
            return True
        due = datetime.now(UTC) + after
        if not after:  # as early as before: it has its turn again, also where this host's clock is ahead
            due = min(due, flow_run.expected_start_time or due)
        again: State[None] = AwaitingRetry(message=reason, scheduled_time=due)
        return (await propose_state(self._client, again, flow_run_id=flow_run_id)).is_scheduled()

    async def _is_anothers(self, flow_run_id: UUID) -> bool:
        """Whether the run was freed and claimed anew, while this worker was cut off: what it does now is not ours."""
        try:
            states = await self._client.read_flow_run_states(flow_run_id)
        except Exception as error:  # noqa: BLE001 - as at the top
            _log.warning("Flow run %s: whose it is could not be read: %s", flow_run_id, error)
            return False
        claims = [state for state in states if state.is_pending() and state.name == "Pending"]
        last = max(claims, key=lambda state: state.timestamp).message if claims else None
        if anothers := bool(self._claim and last and last != self._claim):
            _log.warning("Flow run %s is no longer this worker's: %s", flow_run_id, last)
        return anothers

    async def _never_reached_the_api(self, flow_run_id: UUID) -> bool:
        if self._health.last_problem_at <= self._begun_at.get(flow_run_id, float("inf")):
            return False
        state = await self._state(flow_run_id)
        return state is not None and state.is_pending()

    async def infer_status(self, flow_run_id: UUID) -> int:
        """The status of an engine whose end nobody saw, since its fork server died before: by what the API was told."""
        state = await self._state(flow_run_id)
        left_behind = state is not None and (state.is_pending() or state.is_running())
        _log.warning("Flow run %s: its engine's status is unknown; its state is %s", flow_run_id, state and state.name)
        return os.EX_SOFTWARE if left_behind else os.EX_OK

    async def _state(self, flow_run_id: UUID) -> State | None:
        """The run's state; None when it has none, is deleted, or Prefect refuses to tell."""
        try:
            return (await self._client.read_flow_run(flow_run_id)).state
        except ObjectNotFound:
            return None
        except Exception as error:  # noqa: BLE001 - as at the top
            _log.warning("Flow run %s: its state could not be read: %s", flow_run_id, error)
            return None
