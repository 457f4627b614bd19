"""`python -m flows.operator.register`: deployments and shared limits at Prefect. Run as often as you like."""

from __future__ import annotations

import argparse
import importlib
import sys
from typing import TYPE_CHECKING, Any

from prefect.exceptions import ObjectNotFound

from flows.operator import deployments, server, watch_schedule
from flows.services.prefect_api import NOTION_LIMIT, RESEND_LIMIT, Prefect

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flows.services.settings import Settings

# Entrypoints are module paths: a worker imports them from its own release folder.
ENTRYPOINTS = (
    "flows.signup_handler.handle",
    "flows.noshow_recovery_handler.handle",
    "flows.postcall_maybe_handler.handle",
    "flows.onboarding_handler.handle",
    "flows.campaign_handler.handle",
    deployments.SEND_ENTRYPOINT,
    watch_schedule.ENTRYPOINT,
)
FIRST = 1  # of a pool's queues, by Prefect's count


def flow_of(entrypoint: str) -> Any:
    """The flow that an entrypoint names."""
    module, _, name = entrypoint.rpartition(".")
    return getattr(importlib.import_module(module), name)


def rates(settings: Settings) -> Iterator[tuple[str, int, float]]:
    """The limits: name, burst and refill per second, such that no window of the service's sees more than it allows.

    Notion counts over 60 s: a burst of a sixth and a refill of five sixths make the whole. Resend counts over 1 s: a
    fifth and four fifths.
    """
    minute, second = settings.number("HUBLAB_NOTION_PER_MINUTE"), settings.number("HUBLAB_RESEND_PER_SECOND")
    yield NOTION_LIMIT, max(1, int(minute / 6)), minute / 60 * 5 / 6
    yield RESEND_LIMIT, max(1, int(second / 5)), second * 4 / 5


def limits(prefect: Prefect, settings: Settings) -> None:
    """Create or renew the shared limits."""
    for name, burst, refill in rates(settings):
        prefect.client.upsert_global_concurrency_limit_by_name(name, burst, slot_decay_per_second=refill)


def first(prefect: Prefect, pool: str, queue: str) -> None:
    """Have the workers take a queue's runs before those of all others that they poll."""
    path = f"/work_pools/{pool}/queues/{queue}"
    if prefect.client.request("GET", path).json()["priority"] != FIRST:
        prefect.client.request("PATCH", path, json={"priority": FIRST})


def register(pool: str | None = None) -> list[str]:
    """Create or renew everything in a work pool (HUBLAB_WORK_POOL, when none is named); the names of the deployments.

    Raises:
        LookupError: the pool does not exist, or Prefect shows something else than was registered.
    """
    with Prefect() as prefect:
        settings, client, names = prefect.settings(), prefect.client, list[str]()
        pool = pool or settings.get("HUBLAB_WORK_POOL")
        try:
            client.read_work_pool(pool)
        except ObjectNotFound:
            raise LookupError(
                f"work pool {pool!r} is not at Prefect; a worker of it creates it: `./hublab deploy`"
            ) from None
        limits(prefect, settings)
        for entrypoint in ENTRYPOINTS:
            flow = flow_of(entrypoint)
            parts = deployments.wanted(flow, entrypoint, pool, settings)
            deployments.write(prefect, flow, parts)
            names.append(f"{flow.name}/{flow.name}")
        first(prefect, pool, settings.handlers_queue)
        return names


@server.needed
def main(arguments: list[str] | None = None) -> int:
    """Register, and print what is there; 1 when it cannot be done."""
    parser = argparse.ArgumentParser(prog="python -m flows.operator.register", description=__doc__)
    parser.add_argument("--pool", help="the work pool of the workers (HUBLAB_WORK_POOL)")
    asked = parser.parse_args(arguments)
    try:
        names = register(asked.pool)
    except LookupError as problem:
        sys.stderr.write(f"{problem}\n")
        return 1
    sys.stdout.write("".join(f"registered {name}\n" for name in names))
    return 0


if __name__ == "__main__":
    sys.exit(main())
