"""What `report_host.py` says of a host."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from deploy import spec
from deploy.onhost.report_host import Report, ReportHost
from deploy.release.interpreter import settle
from deploy.state import question

if TYPE_CHECKING:
    from deploy.fleet.connect import Host


def ask(host: Host, *, whole: bool) -> Report:
    """Asks one host, in one round trip.

    Args:
        host: the host.
        whole: also for its state, which a plan is made from.

    Raises:
        FleetError: it cannot be reached, or answered something else.
    """
    query = ReportHost(
        inspect=question(host.wanted) if whole else None,
        unit=spec.UNIT,
        pool=host.wanted.work_pool,
        access=host.wanted.api_access(),
    )
    report = host.ask_for(Report, query)
    return replace(report, state=settle(report.state, host.wanted.python)) if whole else report
