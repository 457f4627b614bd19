"""Who answers for the runs of workers that are gone: one at a time, by what Prefect lets exist once."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from typing import TYPE_CHECKING

import pytest
from prefect.client.orchestration import PrefectClient

from tests.worker.world import AUTH
from worker.lease import Lease
from worker.pool_api import PoolApi
from worker.recovery import Owner

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
async def leases(server: int) -> AsyncIterator[list[Lease]]:
    """Five workers of one pool."""
    pool, names = f"pool {uuid.uuid4()}", [f"w-{number}" for number in range(5)]
    async with contextlib.AsyncExitStack() as stack:
        found = []
        for name in names:
            client = PrefectClient(f"http://127.0.0.1:{server}/api", auth_string=AUTH)
            api = PoolApi(await stack.enter_async_context(client), pool)
            found.append(Lease(api, pool, Owner(name, "here")))
        yield found


async def test_of_many_who_take_it_at_once_one_has_it(leases: list[Lease]) -> None:
    for _ in range(3):
        await asyncio.gather(*(lease.look() for lease in leases))
        await asyncio.gather(*(lease.take() for lease in leases))
        await asyncio.gather(*(lease.look() for lease in leases))
        (holder,) = (lease for lease in leases if lease.mine)
        assert {lease.term for lease in leases} == {holder.term}


async def test_who_was_overtaken_knows_when_it_looks_and_cannot_take_an_old_term(leases: list[Lease]) -> None:
    first, second, slow, *_ = leases
    assert await first.take()
    await slow.look()
    await second.look()
    assert await second.take()
    assert first.mine  # it has not looked since
    assert not await first.touch()
    assert not first.mine
    third = leases[3]
    await third.look()
    assert await third.take()
    # Its number is free again, as the terms before are removed, and does not count.
    assert not await slow.take()
    assert [term.holder.worker for term in await slow.look()][-1] == "w-3"


async def test_successor_at_the_same_place_goes_on_and_a_namesake_elsewhere_does_not(leases: list[Lease]) -> None:
    first, other, *_ = leases
    assert await first.take()
    other._me = Owner("w-0", "here")
    await other.look()
    assert other.mine
    other._me = Owner("w-0", "elsewhere")
    assert not other.mine


async def test_holder_that_shows_nothing_is_seen(leases: list[Lease]) -> None:
    first, other, *_ = leases
    assert await first.take()
    for touched in (True, True, False):
        await other.look()
        quiet = other.untouched()
        if touched:
            assert not quiet
            assert await first.touch()
        else:
            assert not quiet
    await other.look()
    assert other.untouched()


async def test_variables_of_others_do_not_count(leases: list[Lease]) -> None:
    lease = leases[0]
    await lease._api.ask("POST", "/variables/", {"name": f"{lease._prefix}9", "value": "somebody's"})
    await lease._api.ask("POST", "/variables/", {"name": f"{lease._prefix}x", "value": {"worker": "w", "place": "p"}})
    assert await lease.look() == []
    assert await lease.take()
    assert lease.term
    assert lease.term.number == 1
