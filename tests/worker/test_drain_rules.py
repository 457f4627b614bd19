"""What a worker owns and how it stops, without a server: who waits for what, and what a drain lets go."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from uuid import uuid4

import anyio
import pytest

from worker.drain import Drain, InFlight

if TYPE_CHECKING:
    from collections.abc import Awaitable

ONE, OTHER = uuid4(), uuid4()


async def waiting(what: Awaitable[object]) -> asyncio.Task[object]:
    """It has begun to wait, and does."""
    task = asyncio.ensure_future(what)
    for _ in range(3):
        await asyncio.sleep(0)
    assert not task.done()
    return task


async def test_run_is_in_hand_until_the_last_of_its_holds_ends() -> None:
    flight = InFlight()
    with flight.hold(ONE):
        with flight.hold(ONE), flight.hold(OTHER):
            assert (len(flight), flight.ids()) == (2, [ONE, OTHER])
        assert (len(flight), ONE in flight, OTHER in flight) == (1, True, False)
    assert (len(flight), ONE in flight, flight.ids()) == (0, False, [])


async def test_run_whose_block_fails_is_let_go() -> None:
    flight = InFlight()
    with pytest.raises(ValueError, match="broken"), flight.hold(ONE, probe=True):
        raise ValueError("broken")
    assert (len(flight), flight.probes) == (0, 0)


async def test_probes_are_counted_apart_and_until_the_last_hold_ends() -> None:
    flight = InFlight()
    with flight.hold(ONE, probe=True):
        with flight.hold(ONE, probe=True), flight.hold(OTHER):
            assert (len(flight), flight.probes) == (2, 1)
        assert flight.probes == 1
    assert flight.probes == 0


async def test_each_run_that_is_let_go_is_a_change_and_is_waited_for_anew() -> None:
    flight = InFlight()
    with flight.hold(ONE):
        with flight.hold(OTHER):
            change = await waiting(flight.change())
            released, empty = await waiting(flight.released(OTHER)), await waiting(flight.empty())
            with flight.hold(OTHER), flight.hold(ONE):
                pass
            await asyncio.sleep(0)
            assert not change.done()
        await change
        await released
        assert not empty.done()
        again, mine = await waiting(flight.change()), await waiting(flight.released(ONE))
    for task in (again, mine, empty):
        await asyncio.wait_for(task, 5)
    await flight.empty()
    await flight.released(ONE)


async def test_first_signal_begins_the_drain_and_a_second_ends_it() -> None:
    drain = Drain(900)
    assert (drain.requested.is_set(), drain.forced.is_set(), drain.fault) == (False, False, None)
    drain.signal()
    assert (drain.requested.is_set(), drain.forced.is_set(), drain.fault) == (True, False, None)
    drain.signal()
    assert drain.forced.is_set()
    assert drain.seconds_left == 0


async def test_fault_that_began_the_drain_stays_what_it_was() -> None:
    drain = Drain(900)
    drain.request("the loop of the polls has ended")
    drain.request("another")
    drain.request()
    assert drain.fault == "the loop of the polls has ended"
    assert not drain.forced.is_set()


async def test_seconds_are_counted_from_the_first_request(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr("worker.drain.time.monotonic", lambda: now[0])
    drain = Drain(30)
    drain.request()
    assert drain.seconds_left == 30
    now[0] += 29.5
    drain.request()
    assert drain.seconds_left == 0.5
    now[0] += 60
    assert drain.seconds_left == 0


async def test_drain_lets_go_of_what_is_not_claimed_and_of_nothing_else() -> None:
    drain, claimed, after = Drain(900), [], []

    async def start(run: object, *, claims: bool) -> None:
        with drain.until_claimed(run):  # type: ignore[arg-type]
            if claims:
                claimed.append(drain.claim(run))  # type: ignore[arg-type]
            await anyio.sleep(0.2 if claims else 60)
            after.append(run)

    async with anyio.create_task_group() as group:
        group.start_soon(lambda: start(ONE, claims=True))
        group.start_soon(lambda: start(OTHER, claims=False))
        await anyio.wait_all_tasks_blocked()
        drain.request()
    assert (claimed, after) == ([True], [ONE])
    assert drain.claim(OTHER) is False


async def test_what_has_ended_unclaimed_is_no_concern_of_a_later_drain() -> None:
    drain = Drain(900)
    with drain.until_claimed(ONE):
        pass
    with pytest.raises(ValueError, match="broken"), drain.until_claimed(OTHER):
        raise ValueError("broken")
    assert drain._unclaimed == {}
    assert drain.claim(ONE) is True
