"""The plan of a rollback: to a release that is on the host already, with the units that it had. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from deploy import problems
from deploy.plan import towards
from deploy.planned import Plan
from deploy.problem import Problem
from deploy.release.identity import set_of
from deploy.service.unit import escape

if TYPE_CHECKING:
    from deploy.spec import WorkerHost
    from deploy.state import HostState


def make(host: WorkerHost, state: HostState, release: str = "") -> Plan:
    """How to go back on a host: to `release`, else the one before; that of record if a rollout was cut off."""
    found = tuple(problems.find(host, state))
    if found:
        return Plan(host.address, found)
    target = _here(release, state) or (state.current if state.rollout_open else state.previous) or ""
    if problem := _unusable(state, target):
        return Plan(host.address, (problem,))
    # A worker whose unit was not kept with the release gets one that shows it that release's interpreter.
    prefix = state.releases[target].python_prefix or state.python_prefix
    plan = towards(host, replace(state, python_prefix=prefix), target)
    if problem := _elsewhere(host, plan):
        return Plan(host.address, (problem,))
    return replace(plan, prune=())


def _here(release: str, state: HostState) -> str:
    """The release that was asked for; on a host with another Python, that of the same lock and code, built for it."""
    if release in state.releases:
        return release
    alike = sorted(item.id for item in state.releases.values() if item.intact and set_of(item.id) == set_of(release))
    return alike[-1] if alike else release


def _elsewhere(host: WorkerHost, plan: Plan) -> Problem | None:
    """The units of a release come with their settings, but no credential is kept: both must be of one server."""
    line = f"Environment=PREFECT_API_URL={escape(host.api_url)}\n"
    for step in plan.workers:
        if line not in step.unit:
            return Problem(
                f"release {plan.release} spoke to another address than PREFECT_API_URL: {host.api_url}",
                f"put the address and the credential of that time into {host.env_file} for the rollback, or deploy "
                "instead",
            )
    return None


def _unusable(state: HostState, target: str) -> Problem | None:
    usable = sorted(item.id for item in state.releases.values() if item.intact)
    remedy = (
        f"name one that is there: ./hublab rollback --to {' or '.join(usable)}" if usable else "run `./hublab deploy`"
    )
    if not target:
        return Problem("there is no release before this one", remedy)
    if target not in state.releases:
        return Problem(f"--to: {target} is not on the host", remedy)
    if not state.releases[target].intact:
        return Problem(f"release {target} is not whole, or was changed since it was built", remedy)
    return None
