"""What the plan says of a host's former workers. Pure; runs on the operator's machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from deploy.plan import Plan
    from deploy.state import Claim, HostState, Legacy


def legacy(plan: Plan, state: HostState) -> Iterator[str]:
    """A sentence for each worker that is retired, each unit, and each process that is left alone."""
    for item in plan.legacy:
        yield f"legacy worker {item.name or '(no name)'} {_told(item)} will be retired after its runs{_uvloop(item)}"
    for name in plan.legacy_units:
        yield f"legacy unit {name} will be disabled and masked"
    for claim in state.claims:
        yield _claim(claim)


def _told(item: Legacy) -> str:
    where = f"unit {item.unit}" if item.unit else f"started by hand, user {item.user}"
    return f"(pid {item.pid}, {where}, Prefect {item.prefect})"


def _uvloop(item: Legacy) -> str:
    removed = [
        f"; uvloop {one.version} will be removed from {item.python} (below {one.site}, as its owner)"
        if not one.stays
        else f"; uvloop {one.version} stays in {one.site}: {one.stays}"
        for one in item.uvloop
    ]
    return "".join(removed)


def _claim(item: Claim) -> str:
    who = f"{item.name or '(no name)'} (pid {item.pid}, user {item.user})"
    if item.container:
        return f"worker {who} runs in a container and is left alone"
    return f"{who} says that it is a worker, and is not: {item.claim}; it is left alone"
