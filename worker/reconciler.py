"""Looks at the pool's flow runs as they are, and puts right what nobody is running (the rules: `worker.recovery`).

One request a round, a round each 15 s; more only while there is something to put right. Every decision is looked at
again, by the run's state and history, in the moment before it is carried out, so that two who act at once, or one who
was held up, do not undo what another has done since.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

import anyio

from worker import living, recovery
from worker.lease import Lease
from worker.recovery import AGAIN, CRASHED, GAVE_UP, LOST, MOST_TIMES, TAG, Beats, View, decide, owner_by, too_often

if TYPE_CHECKING:
    from collections.abc import Container
    from datetime import datetime

    from worker.process_worker import HublabWorker
    from worker.recovery import Act, Run

_log = logging.getLogger("prefect.hublab")

ROUND_SECONDS = 15.0
APART_SECONDS = 30.0
"""Between two looks that tell whether a worker is gone: see `worker.recovery.Beats`."""
_MOST_AT_ONCE = 50
_ONE_RUN_SECONDS = 15.0
_REFUSED_SECONDS = 60.0
_SUB_FLOW_SECONDS = 300.0
# Four rounds make a turn, four turns a cycle of about four minutes.
_WORKERS, _CRASHED, _TURN, _CYCLE = 3, 1, 4, 16
_LEASE, _SUB_FLOWS = 15, 13


def duty(number: int, *, leads: bool, crashed: bool) -> str:
    """What a round is for; empty for a rest. Pure.

    Args:
        number: of the round, from 0.
        leads: whether this worker holds the lease.
        crashed: whether an engine of its own has crashed since it looked for such runs last.
    """
    if number == 0:
        return "start"
    if number % _TURN == _WORKERS:
        return "lease" if number % _CYCLE == _LEASE else "workers"
    if crashed:
        return "crashed"
    if leads and number % _TURN == _CRASHED:
        return "sub-flows" if number % _CYCLE == _SUB_FLOWS else "crashed"
    return "in flight" if leads or number % _TURN == 0 else ""


class Reconciler:
    """One worker's part in that no run is forgotten."""

    def __init__(self, worker: HublabWorker) -> None:
        """Nothing has been looked at yet."""
        self._worker = worker
        self._me = worker.claim.owner
        self._api = worker.pool_api
        self._lease = Lease(self._api, worker.settings.pool, self._me)
        self._beats = Beats(recovery.SILENCE_SECONDS, APART_SECONDS)
        self._gone: frozenset[str] = frozenset()
        self._known: frozenset[str] = frozenset()
        self._named: set[str] = set()
        self._refused: dict[str, float] = {}
        self._began = time.monotonic()
        self._round = 0
        self._duties = {
            "start": self._start,
            "in flight": self._in_flight,
            "crashed": self._crashed,
            "sub-flows": self._sub_flows,
            "workers": self._workers,
            "lease": self._see_to_lease,
        }

    async def round(self) -> None:
        """One look, and what follows from it. A round that fails is made again."""
        work = duty(self._round, leads=self._lease.mine, crashed=self._worker.engine_crashed)
        if work:
            await self._duties[work]()
        self._round += 1

    async def _start(self) -> None:
        await self._in_flight()
        await self._see_to_lease()

    async def _in_flight(self) -> None:
        runs, now = await self._api.runs({"state": {"type": {"any_": ["PENDING", "RUNNING", "CANCELLING"]}}})
        self._named = {run.owner.worker for run in runs if run.owner}
        await self._put_right(runs, now)

    async def _crashed(self) -> None:
        self._worker.engine_crashed = False
        state = {"type": {"any_": ["CRASHED"]}, "name": {"any_": [LOST, CRASHED]}}
        await self._put_right(*await self._api.runs({"state": state, "tags": {"all_": [TAG]}}))

    async def _sub_flows(self) -> None:
        for run in await self._api.ended_around(_SUB_FLOW_SECONDS):
            await self._lose_inside(run.id)

    async def _workers(self) -> None:
        beats, now = await self._api.beats()
        answers = time.monotonic() - max(self._began, self._worker.health.last_problem_at)
        holder = self._lease.term.holder.worker if self._lease.term else ""
        named = {name for name in (*self._named, holder) if name}
        gone = self._beats.look(beats, named, now, time.monotonic(), answers)
        news, self._known = gone - self._gone, frozenset(beats)
        self._gone = frozenset(gone - {self._me.worker})
        if not self._lease.mine and (not holder or holder in self._gone):
            await self._lead()
        elif self._lease.mine and news:
            await self._in_flight()

    async def _see_to_lease(self) -> None:
        if await self._lease.touch():
            return
        if self._lease.term is None or self._lease.untouched():
            await self._lead()

    async def _lead(self) -> None:
        if await self._lease.take():
            _log.info("Worker %s answers from now on for the runs of workers that are gone", self._me.worker)
            await self._in_flight()
            await self._crashed()

    def _judge(self, run: Run, now: datetime) -> tuple[Act, str] | None:
        held = frozenset(str(flow_run_id) for flow_run_id in self._worker.in_flight.ids())
        alone_since = self._worker.alone_since
        return decide(run, View(self._me, now, held, self._lease.mine, self._gone, self._known, alone_since))

    async def _put_right(self, runs: list[Run], now: datetime) -> None:
        due = [run for run in runs if self._judge(run, now) and self._refused.get(run.id, 0.0) < time.monotonic()]
        if due and self._lease.mine:
            await self._lease.look()  # it may have been taken over since
        seen = await anyio.to_thread.run_sync(living.engines) if due else {}
        for run in due:
            # Its worker has died, which would have ended it: nobody else hears that somebody wants it cancelled.
            if run.type == "CANCELLING" and run.id in seen:
                await self._one(run, seen[run.id])
        for run in [run for run in due if not self._lives(run, seen)][:_MOST_AT_ONCE]:
            await self._one(run)

    def _lives(self, run: Run, seen: Container[str]) -> bool:
        """Whether an engine of the run lives here, or the process that claimed it, which is not this one."""
        if living.may_have_engine(run.id, run.pid, seen):
            return True
        another = run.owner == self._me and run.process not in {"", self._worker.claim.process}
        return another and living.lives(run.process)

    async def _one(self, run: Run, engine: int = 0) -> None:
        """Put one run right; where it is to be cancelled and has an engine, end that. The others are seen to anyway."""
        self._refused[run.id] = time.monotonic() + _REFUSED_SECONDS
        with anyio.move_on_after(_ONE_RUN_SECONDS):
            try:
                await self._act(run, engine)
            except Exception:  # noqa: BLE001 - one run's fault is not another's
                _log.exception("Flow run %s could not be put right", run.id)
                return
            del self._refused[run.id]

    async def _act(self, run: Run, engine: int) -> None:
        current, history, now = await self._api.again(run)
        if current is None or current.state_id != run.state_id or not (what := self._judge(current, now)):
            return  # deleted, or somebody was faster
        act, why = what
        claimed_by = owner_by(history)
        if act in {"lose", "cancel"} and claimed_by and run.owner and claimed_by.worker != run.owner.worker:
            return  # its labels are those of an attempt before
        if engine:
            living.end(run.id, engine)
            return
        if act == "cancel":
            await self._api.set_state(run, _state("CANCELLED", "Cancelled", why))
            return
        if act != "free":
            await self._lose_inside(run.id)
        again = act == "free" or run.again
        if again and too_often(history, now):
            await self._api.set_state(run, _state("CRASHED", GAVE_UP, _TOO_OFTEN.format(why)), force=act == "again")
            return
        if act == "lose" and not await self._api.set_state(run, _state("CRASHED", LOST, why)):
            return
        if again:
            # As early as it was due before: it has its turn again, and does not wait behind all that came after it.
            due = {"state_details": {"scheduled_time": min(run.due or now, now).isoformat()}}
            await self._api.set_state(run, _state("SCHEDULED", AGAIN, f"{why} To be run again.") | due)

    async def _lose_inside(self, flow_run_id: str) -> None:
        """The sub-flows of a run that has no process have none either."""
        for run in await self._api.inside(flow_run_id):
            await self._lose_inside(run.id)
            await self._api.set_state(run, _state("CRASHED", LOST, "The run around it has no process."))


_TOO_OFTEN = (
    f"Lost, stuck or crashed {MOST_TIMES} times within 24 h, so it is not run again ({{}}) Its states and its log say "
    "why; mend that, then retry it."
)


def _state(kind: str, name: str, message: str) -> dict[str, Any]:
    return {"type": kind, "name": name, "message": message}
