"""What the operator reads: the plan before, the table after."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from pyinfra import logger
from pyinfra.api.state import StateStage

from deploy.deployments import listed
from deploy.onhost.common import counted
from deploy.rollout.member import Member
from deploy.state import HostState
from deploy.table import grouped
from deploy.table import render as table
from deploy.words import for_several, last_failure, warnings

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from pyinfra.api import State

    from deploy.coolify.state import ApplicationState
    from deploy.rollout.members import AnyMember
    from deploy.state import Worker

HEADINGS = ("host", "release", "Prefect", "uvloop", "workers online", "probe", "result")


def result(member: AnyMember, *, failed: bool) -> str:
    """How it went on one host, in a word. Pure.

    Args:
        member: the host.
        failed: whether pyinfra counts it as failed.
    """
    if member.plan.problems:
        return "FAILED: cannot be deployed to, see above"
    if not member.plan.changes:
        return "no change"
    if member.outcome and (member.outcome.reached or not member.outcome.ok):
        return member.outcome.words
    if failed:
        return f"FAILED: {member.lost or member.trouble or 'see above'}"
    return "not reached" if member.plan.activates else "deployed"


def row(member: AnyMember, *, failed: bool = False) -> tuple[str, ...]:
    """One host in words; of one that could not be looked at afterwards nothing is known. Pure."""
    state, plan = member.state, member.plan
    if not isinstance(state, HostState):
        return application(member, state, failed=failed)
    if member.unseen:
        name = f"{state.hostname} ({plan.address})"
        return (name, *["unknown"] * 4, _probes(member), result(member, failed=failed))
    running = [worker for worker in state.workers.values() if worker.active == "active" and worker.pid]
    releases = sorted({worker.release for worker in running if worker.release})
    names = {step.name for step in plan.workers}
    loaded = any(worker.uvloop for worker in running) or any(item.uvloop for item in state.legacy)
    return (
        f"{state.hostname} ({plan.address})" if state.hostname else plan.address,
        " + ".join(releases) or "none",
        " + ".join(sorted({state.releases[item].prefect for item in releases if item in state.releases})) or "–",
        "PRESENT" if loaded else "absent",
        "–" if plan.problems else f"{len(names & state.online)} of {len(plan.workers)}",
        _probes(member),
        result(member, failed=failed),
    )


def application(member: AnyMember, state: ApplicationState, *, failed: bool) -> tuple[str, ...]:
    """One application in words: of its process nothing is seen but what it says at Prefect. Pure."""
    name = f"{state.app.name} ({member.address})" if state.app and state.app.name else member.address
    if member.unseen:
        return (name, *["unknown"] * 4, _probes(member), result(member, failed=failed))
    release = state.release
    return (
        name,
        release or "none",
        release.partition("-")[0] or "–",
        "not seen",
        "–" if member.plan.problems else f"{min(len(state.online), 1)} of 1",
        _probes(member),
        result(member, failed=failed),
    )


def _probes(member: AnyMember) -> str:
    if member.plan.problems:
        return "not run"
    if not member.plan.restarts:
        return "not needed"
    if member.outcome is None or not member.outcome.reached:
        return "not run"
    return f"{member.outcome.gates} of {len(member.plan.restarts)} COMPLETED"


def render(members: Iterable[AnyMember], failed: Collection[str] = ()) -> str:
    """The whole table as text, aligned. Pure.

    Args:
        members: the hosts in order.
        failed: the addresses of those that pyinfra counts as failed.
    """
    hosts = list(members)
    rows = [HEADINGS, *(row(member, failed=member.plan.address in failed) for member in hosts)]
    webhooks = [member.state.webhooks if isinstance(member.state, HostState) else None for member in hosts]
    if any(member.wanted.webhooks for member in hosts if isinstance(member.state, HostState)) or any(webhooks):
        cells = ["webhooks", *map(_webhooks, webhooks)]
        rows = [(*line[:-1], cell, line[-1]) for line, cell in zip(rows, cells, strict=True)]
    return table(rows[0], rows[1:])


def _webhooks(found: Worker | None) -> str:
    if found is None:
        return "–"
    return f"{found.active}, {found.release or 'release unknown'}" if found.pid else found.active


def announce(member: AnyMember, *, warned: bool = True) -> None:
    """The plan for one host, or what stands in its way; `warned`: with what it is warned of."""
    plan, lines = member.plan, []
    lines += [f"cannot be deployed to: {problem.what}\n    -> {problem.remedy}" for problem in plan.problems]
    if failure := last_failure(member.state):
        lines.append(f"note: {failure}")
    lines += [f"note: {word}" for word in _noted(member)]
    lines += [f"warning: {word}" for word in _warned(member) if warned]
    lines += [f"plan: {word}" for word in plan.words]
    if plan.lock:
        lines.append(f"plan: {plan.lock}: it is waited for, and its lock removed if its owner is gone")
    if not (plan.problems or plan.words or plan.lock):
        lines.append(
            f"plan: nothing to do; release {plan.release}, {counted(len(plan.workers), 'worker', 'workers')} as wanted"
        )
    for line in lines:
        (logger.error if plan.problems else logger.info)("%s%s", member.host.print_prefix, line)


def warn(members: Iterable[AnyMember]) -> None:
    """What the hosts of a run are warned of: what is said of several, once."""
    by_address = {member.address: member for member in members}
    for word, hosts in grouped({address: _warned(member) for address, member in by_address.items()}).items():
        if len(hosts) > 1:
            logger.info(for_several(hosts, word))
        else:
            logger.info("%swarning: %s", by_address[hosts[0]].host.print_prefix, word)


def _noted(member: AnyMember) -> list[str]:
    return [word] if isinstance(member, Member) and (word := listed(member.wanted, member.state)) else []


def _warned(member: AnyMember) -> tuple[str, ...]:
    if isinstance(member, Member):
        return warnings(member.wanted, member.state)
    return (*member.wanted.exposed, *member.plan.warnings)


def as_data(member: AnyMember) -> dict[str, Any]:
    """The plan for one host as JSON's types. Pure."""
    plan = member.plan
    return {
        "host": plan.address,
        "release": plan.release,
        "changes": plan.changes,
        "words": list(plan.words),
        "warnings": list(_warned(member)),
        "others": sorted(member.polled.others),
        "notes": _noted(member),
        "problems": [asdict(problem) for problem in plan.problems],
    }


def conclude(state: State, members: dict[str, AnyMember]) -> None:
    """Prints the table, when anything was or would have been done; a plan alone needs none."""
    if state.current_stage >= StateStage.Execute and members:
        print("\n" + render(members.values(), {host.name for host in state.failed_hosts}))  # noqa: T201 - the result goes to standard output
