"""Workers that are ONLINE in a pool and of no host that is named: they take its flow runs as well. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from deploy.leaving import names_of
from deploy.onhost.untrusted import printable

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from deploy.state import HostState

# How Prefect calls a worker of this type that was started without a name; a random number follows.
UNNAMED = "ProcessWorker "


class Polled(NamedTuple):
    """What a host or an application knows of its `pool`: the workers ONLINE there that are `others`', not its own."""

    pool: str
    others: Collection[str]


def of(state: HostState, wanted: Iterable[str]) -> frozenset[str]:
    """The workers ONLINE in a host's pool that are not its own: no `wanted` one, no former one, no legacy one.

    A legacy worker without a name may be any that Prefect has given one.
    """
    legacy = {item.name for item in state.legacy}
    found = state.online - names_of(state) - legacy - set(wanted)
    return frozenset(name for name in found if not ("" in legacy and name.startswith(UNNAMED)))


def of_nobody(found: Iterable[Polled]) -> dict[str, list[str]]:
    """Those that all who poll a pool call others'; by pool. `found` is the whole fleet."""
    fleet = list(found)
    pools = {one.pool: [set(each.others) for each in fleet if each.pool == one.pool] for one in fleet}
    named = {pool: sorted(set.intersection(*those)) for pool, those in pools.items()}
    return {pool: names for pool, names in named.items() if names}


def told(found: Iterable[Polled]) -> list[str]:
    """A line for each pool that has any, with what to do."""
    return [
        f"ONLINE in the pool {pool}, and of no host in HUBLAB_HOSTS: {', '.join(map(printable, names))} -> "
        "where their hosts were taken out of .env, put them back, and take them out of service with `./hublab "
        "decommission host` (an application of Coolify's: stop it there); where one was just stopped, Prefect forgets "
        "it within two minutes; where they are somebody else's, they take flow runs of yours and fail those whose code "
        "they do not have: stop them, or name a pool of your own in HUBLAB_WORK_POOL"
        for pool, names in sorted(of_nobody(found).items())
    ]
