"""The plan of a host's leaving: all that deploys put there goes, its workers after their flow runs. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deploy import problems, spec
from deploy.onhost.common import counted
from deploy.onhost.decommission import Decommission
from deploy.planned import Plan

if TYPE_CHECKING:
    from deploy.spec import WorkerHost
    from deploy.state import HostState


def make(host: WorkerHost, state: HostState) -> Plan:
    """What goes, or why the host cannot be looked at. A server that is gone keeps no host from leaving."""
    if found := problems.find(host, state) if state.problem else problems.unseen(state):
        return Plan(host.address, tuple(found))
    there = [path for path in (spec.BASE, spec.CONFIG, spec.STATE) if state.files.get(path)]
    leaves = bool(there or state.workers or state.webhooks or state.users)
    return Plan(
        address=host.address,
        release=state.current or "",
        surplus=tuple(sorted(state.workers)),
        webhooks_surplus=state.webhooks is not None,
        leaves=leaves,
        lock=state.lock,
        words=tuple(_words(host, state, there)) if leaves else ("nothing that a deploy puts on a host is there",),
    )


def _words(host: WorkerHost, state: HostState, there: list[str]) -> list[str]:
    units = [spec.unit_name(number) for number in sorted(state.workers)]
    flight = sum(worker.in_flight for worker in state.workers.values())
    words = []
    if units:
        runs = counted(flight, "flow run in flight is", "flow runs in flight are")
        words.append(f"{', '.join(units)} will be drained and removed; {runs} waited for")
    if state.webhooks:
        words.append(f"{spec.WEBHOOKS_UNIT} will be stopped and removed: nobody answers its callers any more")
    words += [f"{path} will be removed" for path in there]
    words += ["the users of the workers and of the webhooks will be removed"] * bool(state.users)
    if units and not (state.online - names_of(state)):
        words.append(f"no other worker is ONLINE in the pool {host.work_pool}: its flow runs will wait for one")
    return words


def names_of(state: HostState) -> set[str]:
    """The workers of this host, as Prefect's server knows them."""
    return {spec.worker_name(state.hostname, number) for number in state.workers}


def question(host: WorkerHost, state: HostState) -> Decommission:
    """What `decommission.py` is asked."""
    return Decommission(
        workers=tuple(spec.unit_name(number) for number in sorted(state.workers)),
        names=tuple(sorted(names_of(state))),
        webhooks=spec.WEBHOOKS_UNIT if state.webhooks else "",
        user=spec.USER,
        write_paths=host.write_paths,
        pool=host.work_pool,
        access=host.api_access(),
    )
