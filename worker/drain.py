"""What a worker owns, and how it stops: it takes nothing new, and what it has claimed it carries through."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from typing import TYPE_CHECKING

import anyio

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID


class InFlight:
    """The flow runs that this worker has in hand, from the poll until the engine's end is reported."""

    def __init__(self) -> None:
        """Nothing in hand."""
        self._holds: Counter[UUID] = Counter()
        self._probes: set[UUID] = set()
        self._changed = asyncio.Event()

    @contextlib.contextmanager
    def hold(self, flow_run_id: UUID, *, probe: bool = False) -> Iterator[None]:
        """Count the run while the block runs; blocks for one run may overlap."""
        self._holds[flow_run_id] += 1
        if probe:
            self._probes.add(flow_run_id)
        try:
            yield
        finally:
            self._holds[flow_run_id] -= 1
            if not self._holds[flow_run_id]:
                del self._holds[flow_run_id]
                self._probes.discard(flow_run_id)
                self._changed.set()
                self._changed = asyncio.Event()

    def __contains__(self, flow_run_id: UUID) -> bool:
        """Whether the run is in hand."""
        return flow_run_id in self._holds

    def __len__(self) -> int:
        """How many runs are in hand, the probe's included."""
        return len(self._holds)

    def ids(self) -> list[UUID]:
        """The runs in hand."""
        return list(self._holds)

    @property
    def probes(self) -> int:
        """How many of them are the gate's."""
        return len(self._probes)

    async def change(self) -> None:
        """Wait until a run is let go."""
        await self._changed.wait()

    async def released(self, flow_run_id: UUID) -> None:
        """Wait until this run is no longer in hand."""
        while flow_run_id in self._holds:
            await self.change()

    async def empty(self) -> None:
        """Wait until nothing is in hand."""
        while self._holds:
            await self.change()


class Drain:
    """Whether the worker was told to stop, and how urgently."""

    def __init__(self, limit_seconds: float) -> None:
        """`limit_seconds`: how long runs in flight may go on."""
        self.limit_seconds = limit_seconds
        self.requested = asyncio.Event()
        self.forced = asyncio.Event()
        self.fault: str | None = None
        self._began = 0.0
        self._unclaimed: dict[UUID, anyio.CancelScope] = {}

    def signal(self) -> None:
        """SIGTERM or SIGINT: the first begins the drain, a second ends it at once."""
        (self.forced.set if self.requested.is_set() else self.request)()

    def request(self, fault: str | None = None) -> None:
        """Stop taking runs, and let go of those that were polled but not claimed: they are still Scheduled."""
        if self.requested.is_set():
            return
        self.fault = fault
        self._began = time.monotonic()
        self.requested.set()
        for scope in self._unclaimed.values():
            scope.cancel()

    @property
    def seconds_left(self) -> float:
        """Until runs in flight are handed back."""
        if self.forced.is_set():
            return 0.0
        return max(0.0, self._began + self.limit_seconds - time.monotonic())

    @contextlib.contextmanager
    def until_claimed(self, flow_run_id: UUID) -> Iterator[None]:
        """Within the block a drain cancels what goes on, unless `claim` was passed before."""
        with anyio.CancelScope() as scope:
            self._unclaimed[flow_run_id] = scope
            try:
                yield
            finally:
                self._unclaimed.pop(flow_run_id, None)

    def claim(self, flow_run_id: UUID) -> bool:
        """May the run be claimed now? From a yes on, it is carried through."""
        if self.requested.is_set():
            return False
        self._unclaimed.pop(flow_run_id, None)
        return True
