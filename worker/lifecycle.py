"""From start to exit: the loops of a worker, its signals, its drain, and what systemd hears of it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
import select
import signal
import sys
import time
from typing import TYPE_CHECKING

import anyio
from prefect.logging.handlers import APILogHandler
from prefect.settings import get_current_settings

from worker import event_loop, landlock, reconciler
from worker.process_worker import HublabWorker

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from uuid import UUID

    from anyio.abc import TaskGroup

    from worker.forking import ForkServer
    from worker.settings import WorkerSettings
    from worker.systemd import Notifier

_log = logging.getLogger("prefect.hublab")

EX_SOFTWARE = 70
EX_TEMPFAIL = 75
REQUEST_LIMIT = 30.0
"""Seconds that one poll or heartbeat may take; the API may be hanging."""
RECOVERY_LIMIT = 120.0
"""Seconds that one round of the recovery may take, all that it puts right included."""
HAND_BACK_LIMIT = 45.0
"""Seconds for ending and handing back all runs, once the drain's limit has passed."""
_SLACK_SECONDS = 5.0
_CANCEL_LOOK_SECONDS = 5.0
_LEAST_SECONDS = 0.5
_OUTPUT = 1  # a descriptor
_EAGER_FOR = 60.0
"""A gate's probe follows a start at once, so the first minute polls every second."""


def run(settings: WorkerSettings, notifier: Notifier, fork_server: ForkServer) -> int:
    """Run the worker until it has drained. Returns the exit status."""
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        status = runner.run(Lifecycle(HublabWorker, settings, notifier, fork_server).run())
    fork_server.close()
    with contextlib.suppress(OSError):  # it may have been shut
        sys.stdout.flush()
        sys.stderr.flush()
    # Prefect's threads for logs and events would wait at exit for an API that may be away.
    os._exit(status)


def _output_fault() -> str | None:
    """Why nothing that is written here arrives: runs write where their worker does, and each can shut it for all."""
    output = select.poll()
    output.register(_OUTPUT, 0)
    if not any(what & (select.POLLHUP | select.POLLERR) for _, what in output.poll(0)):
        return None
    return "standard output: it was shut; nothing that is logged arrives, and flows that print fail. It starts anew"


class Lifecycle:
    """One worker's life."""

    def __init__(
        self, kind: type[HublabWorker], settings: WorkerSettings, notifier: Notifier, fork_server: ForkServer
    ) -> None:
        """A worker of this kind, which tests extend."""
        self.worker = kind(settings, fork_server)
        self._notifier = notifier
        self._started = time.monotonic()
        self._progress = time.monotonic()
        self._ready = False
        self._query_seconds = get_current_settings().worker.query_seconds
        self._not_held = landlock.shortcoming(landlock.abi())

    async def run(self) -> int:
        """Work until told to stop, drain, and leave."""
        if self._not_held:
            _log.warning("This kernel has %s", self._not_held)
        self.worker.fork_server.attach()
        async with anyio.create_task_group() as signals:
            await signals.start(self._listen)
            async with self.worker, anyio.create_task_group() as loops:
                self._begin(loops)
                await self.worker.drain.requested.wait()
                left = await self._drain()
                loops.cancel_scope.cancel()
            signals.cancel_scope.cancel()
        with anyio.move_on_after(5):
            await APILogHandler.aflush()
        return self._exit_status(left)

    def _begin(self, loops: TaskGroup) -> None:
        loops.start_soon(self._report)
        loops.start_soon(self._poll)
        loops.start_soon(self._every, self.worker.heartbeat_interval_seconds, self.worker.sync_with_backend)
        loops.start_soon(self._cancellations, loops)
        loops.start_soon(self._recover)

    async def _listen(self, *, task_status: anyio.abc.TaskStatus[None]) -> None:
        with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as received:
            task_status.started()
            async for number in received:
                _log.warning("%s: %s", signal.Signals(number).name, self._in_flight())
                self.worker.drain.signal()

    async def _poll(self) -> None:
        """Ask for work; during a drain only show that the loop is alive."""
        while True:
            self._progress = time.monotonic()
            if fault := event_loop.policy_fault() or _output_fault():
                _log.critical("%s", fault)
                self.worker.drain.request(fault)
            if not self.worker.drain.requested.is_set() and self.worker.has_synced:
                await self._limited(self._poll_once)
            eager = time.monotonic() - self._started < _EAGER_FOR or not self._ready
            with anyio.move_on_after(min(self._query_seconds, 1.0) if eager else self._query_seconds):
                await self.worker.in_flight.change()  # a place is free: look at once, but no more than twice a second
                await anyio.sleep(max(0.0, self._progress + _LEAST_SECONDS - time.monotonic()))

    async def _poll_once(self) -> None:
        await self.worker.get_and_submit_flow_runs()
        if not self._ready:
            self._ready = True
            self._notifier.send("READY=1", f"STATUS={self.describe()}")

    async def _every(self, seconds: float, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            done = await self._limited(work)
            await anyio.sleep(seconds if done else 1)

    async def _cancellations(self, loops: TaskGroup) -> None:
        async def look() -> None:
            for flow_run in await self.worker.engines.look_for_cancellations():
                loops.start_soon(self.worker.engines.cancel, flow_run)

        await self._every(_CANCEL_LOOK_SECONDS, look)

    async def _recover(self) -> None:
        """See that no run is forgotten: at once, and then in rounds that fall together with no other worker's."""
        runs = reconciler.Reconciler(self.worker)
        while not self.worker.drain.requested.is_set():
            pause = 1.0
            try:
                with anyio.move_on_after(RECOVERY_LIMIT):
                    if self.worker.has_synced:
                        await runs.round()
                        pause = reconciler.ROUND_SECONDS * random.uniform(1.0, 1.3)  # noqa: S311 - to spread
            except Exception:  # noqa: BLE001 - as in _limited
                _log.exception("Worker %s: its look at the flow runs failed", self.worker.name)
            await anyio.sleep(min(pause, 0.2) if not self.worker.has_synced else pause)

    async def _limited(self, work: Callable[[], Awaitable[None]]) -> bool:
        """Do the work within the limit; whatever it raises, the flow runs in flight must not go with it."""
        try:
            with anyio.move_on_after(REQUEST_LIMIT) as scope:
                await work()
        except Exception:  # noqa: BLE001 - see above
            _log.exception("Worker %s goes on after an error", self.worker.name)
            return False
        if scope.cancelled_caught and not self.worker.health.problem:
            self.worker.health.failed("does not answer")
        return not scope.cancelled_caught

    async def _drain(self) -> list[UUID]:
        """Wait for what is in flight, then hand back the rest. Returns what could not be handed back."""
        worker = self.worker
        self._notifier.send("STOPPING=1", f"STATUS={self.describe()}")
        async with anyio.create_task_group() as race:

            async def until(event: Callable[[], Awaitable[object]]) -> None:
                await event()
                race.cancel_scope.cancel()

            race.start_soon(until, worker.in_flight.empty)
            race.start_soon(until, worker.drain.forced.wait)
            await anyio.sleep(worker.drain.seconds_left)
            race.cancel_scope.cancel()
        left = worker.in_flight.ids()
        with anyio.move_on_after(HAND_BACK_LIMIT):
            async with anyio.create_task_group() as group:

                async def hand_back(flow_run_id: UUID) -> None:
                    if await worker.hand_back(flow_run_id):
                        left.remove(flow_run_id)
                        _log.warning("Flow run %s handed back to Prefect, to be run again", flow_run_id)

                for flow_run_id in tuple(left):
                    group.start_soon(hand_back, flow_run_id)
        return left

    def _exit_status(self, left: list[UUID]) -> int:
        if left:
            _log.critical("Could not be handed back: flow runs %s. Set them to Scheduled", ", ".join(map(str, left)))
            return EX_TEMPFAIL
        return EX_SOFTWARE if self.worker.drain.fault else 0

    async def _report(self) -> None:
        """Tell systemd what goes on: the beat as long as the polling loop moves, whatever the API does."""
        watchdog = self._notifier.watchdog_seconds
        pause = min(1.0, watchdog / 3) if watchdog else 1.0
        while True:
            message = [f"STATUS={self.describe()}"]
            if watchdog and self.polling_moves():
                message.append("WATCHDOG=1")
            if self.worker.drain.requested.is_set():
                message.append("EXTEND_TIMEOUT_USEC=30000000")
            self._notifier.send(*message)
            await anyio.sleep(pause)

    def polling_moves(self) -> bool:
        """Whether the polling loop has gone round within the time that its slowest round may take."""
        return time.monotonic() - self._progress < REQUEST_LIMIT + self._query_seconds + _SLACK_SECONDS

    def _in_flight(self) -> str:
        count = len(self.worker.in_flight)
        return f"{count} run{'' if count == 1 else 's'} in flight"

    def describe(self) -> str:
        """What the worker does, in one line, for `systemctl status`."""
        worker = self.worker
        runs = self._in_flight()
        trouble, unfit = worker.health.describe(), worker.workplace.problem
        if worker.drain.requested.is_set():
            doing = f"draining, {runs}, {worker.drain.seconds_left:.0f} s left"
        elif trouble or not self._ready:
            doing = f"waiting for Prefect's API, {runs}"
        elif unfit:
            doing = f"{unfit}, {runs}"
        else:
            doing = f"polling {', '.join(worker.settings.queues)}, {runs}"
        return "; ".join(filter(None, (doing, trouble, worker.health.describe_refused(), self._not_held)))
