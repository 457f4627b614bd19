"""What `report_host.py` says of a host."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from deploy import spec
from deploy.release.interpreter import settle
from deploy.state import HostState, question
from deploy.state import parse as parse_state

if TYPE_CHECKING:
    from deploy.fleet.connect import Host


@dataclass(frozen=True)
class Report:
    """What a host does right now. `doing`: unit → the worker's own words; `queue`: None when Prefect did not answer.

    `left`: flow runs that nobody is about to run, though they are not done.
    `history` is there when nothing but it was asked for, `state` otherwise.
    """

    state: HostState = field(default_factory=HostState)
    doing: dict[str, str] = field(default_factory=dict)
    history: tuple[dict[str, Any], ...] = ()
    lock: dict[str, Any] | None = None
    queue: dict[str, int] | None = None
    left: tuple[dict[str, Any], ...] = ()


def ask(host: Host, *, whole: bool) -> Report:
    """Asks one host, in one round trip.

    Args:
        host: the host.
        whole: also for its state, which a plan is made from.

    Raises:
        FleetError: it cannot be reached, or answered something else.
    """
    query = {
        "inspect": question(host.wanted) if whole else None,
        "unit": spec.UNIT,
        "audit": spec.AUDIT,
        "folder": spec.LOCK,
        "pool": host.wanted.work_pool,
        **host.wanted.api_access(),
    }
    report = parse(host.ask_json("report_host", query))
    return replace(report, state=settle(report.state, host.wanted.python)) if whole else report


def parse(raw: dict[str, Any]) -> Report:
    """Pure: the JSON of `report_host.py` as typed data."""
    state = parse_state(raw["state"]) if raw["state"] else HostState()
    return Report(state, raw["doing"], tuple(raw["history"]), raw["lock"], raw["queue"], tuple(raw.get("left") or ()))
