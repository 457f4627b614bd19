"""What the plan says of a host's former workers. Pure; runs on the operator's machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from deploy.planned import Plan
    from deploy.state import Claim, HostState, Legacy


def legacy(plan: Plan, state: HostState) -> Iterator[str]:
    """A sentence for each worker that is retired, each unit, and each process that is left alone."""
    for item in plan.legacy:
        yield f"legacy worker {item.name or '(no name)'} {_told(item)} will be retired after its runs{_uvloop(item)}"
        yield from _again(item)
    for unit in plan.legacy_units:
        if unit in plan.in_the_way:
            yield f"legacy unit {unit.name} makes room for the deploy's own of that name, and comes back if that fails"
        else:
            yield f"legacy unit {unit.name} will be disabled and masked"
    for line in state.starters:
        whose = f" of user {line.user}" if line.user else ""
        remedy = f"systemctl disable {line.unit}" if line.unit else "remove that line"
        yield f"{line.file}{whose}, line {line.line}, may start a worker again, and no deploy changes it: {remedy}"
    for claim in state.claims:
        yield _claim(claim)


def _told(item: Legacy) -> str:
    whose = "" if item.how else f", user {item.user}"
    return f"(pid {item.pid}, {item.origin}{whose}, Prefect {item.prefect})"


def _again(item: Legacy) -> Iterator[str]:
    """Who starts a worker again that is retired as a process alone, and how that ends."""
    who = item.name or item.pid
    if item.how == "wrapper":
        undo = f"systemctl disable {item.unit}"
        yield f"{item.unit} starts {who} again at the next boot, since no deploy changes it: {undo}"
    if item.user_unit:
        undo = f"systemctl --user disable {item.user_unit}, as {item.user}"
        yield f"the systemd of user {item.user} starts {who} again at the next boot or login: {undo}"


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
