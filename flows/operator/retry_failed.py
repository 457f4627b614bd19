"""`python -m flows.operator.retry_failed`: what failed is listed with its cause and run again, once that is mended.

Running it again does no harm: a mail that Resend has is not sent a second time, and what is still amiss fails again.
With `--list` nothing is run; the exit status is 1 when something has failed. With `--customers`, what customers must
get and was skipped is run again too, as after `./hublab campaign allow`.
"""

from __future__ import annotations

import argparse
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from prefect.client.schemas.filters import (
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterExpectedStartTime,
    FlowRunFilterState,
    FlowRunFilterStateName,
    FlowRunFilterStateType,
    FlowRunFilterTags,
)
from prefect.client.schemas.objects import StateType
from prefect.states import Scheduled

from flows.campaigns.model import GENERIC_HANDLER, sequences
from flows.operator import server
from flows.operator.register import ENTRYPOINTS, flow_of
from flows.recipients.suppression import TRANSACTIONAL
from flows.services.prefect_api import MAIL_FLOW, Prefect

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prefect.client.schemas.objects import FlowRun, State

PAGE, DAYS = 200, 30
# Reasons of a skipped mail that somebody has given, or that are none.
MEANT = ("already sent", "cancelled", "sequence completed")


def failed(prefect: Prefect, days: float) -> Iterator[FlowRun]:
    """The campaign's runs that failed or crashed for good, of so many days."""
    flows = FlowFilter(name=FlowFilterName(any_=[flow_of(one).name for one in ENTRYPOINTS]))
    since = datetime.now(UTC) - timedelta(days=days)
    runs = FlowRunFilter(
        state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.FAILED, StateType.CRASHED])),
        expected_start_time=FlowRunFilterExpectedStartTime.model_validate({"after_": since}),
    )
    yield from _all(prefect, flows, runs)


def withheld(prefect: Prefect, days: float) -> Iterator[FlowRun]:
    """Enrolments and mails of transactional sequences that were skipped, but for what a person meant to stop."""
    kept = {(one.campaign, one.name): one for one in sequences().values() if one.kind == TRANSACTIONAL}
    since = datetime.now(UTC) - timedelta(days=days)
    skipped = FlowRunFilter(
        state=FlowRunFilterState(name=FlowRunFilterStateName(any_=["Skipped"])),
        expected_start_time=FlowRunFilterExpectedStartTime.model_validate({"after_": since}),
    )
    tags = FlowRunFilterTags(any_=sorted({f"sequence:{name}" for _, name in kept}))
    own = {one.handler for one in kept.values()} - {GENERIC_HANDLER}
    asked = [
        (own, skipped),
        ({GENERIC_HANDLER}, skipped),
        ({MAIL_FLOW}, skipped.model_copy(update={"tags": tags})),
    ]
    for names, wanted in asked if kept else ():
        flows = FlowFilter(name=FlowFilterName(any_=sorted(names)))
        for run in _all(prefect, flows, wanted):
            given = run.parameters.get("enrolment") or run.parameters
            ours = names == own or (given.get("campaign"), given.get("sequence")) in kept
            if ours and not cause(run).partition(": ")[2].startswith(MEANT):
                yield run


def _all(prefect: Prefect, flows: FlowFilter, runs: FlowRunFilter) -> list[FlowRun]:
    """All runs that these leave, read before the first of them is run again."""
    found: list[FlowRun] = []
    while page := prefect.client.read_flow_runs(flow_filter=flows, flow_run_filter=runs, limit=PAGE, offset=len(found)):
        found += page
        if len(page) < PAGE:
            break
    return found


def cause(run: FlowRun) -> str:
    """Why a run ended as it did, in one line."""
    return " ".join(str(run.state.message if run.state else "").split())[:200]


@server.needed
def main(arguments: list[str] | None = None) -> int:
    """List them, and run them again unless `--list` is given."""
    parser = argparse.ArgumentParser(prog="python -m flows.operator.retry_failed", description=__doc__)
    parser.add_argument("--list", action="store_true", help="run nothing")
    parser.add_argument("--customers", action="store_true", help="also what customers must get and was skipped")
    parser.add_argument("--days", type=float, default=DAYS, help="how far back to look (30)")
    asked = parser.parse_args(arguments)
    with Prefect() as prefect:
        found = [*failed(prefect, asked.days), *(withheld(prefect, asked.days) if asked.customers else ())]
        for run in found:
            sys.stdout.write(f"{run.state_name or '':9} {run.name}  {cause(run)}\n")
            if not asked.list:
                again: State[Any] = Scheduled(
                    name="AwaitingRetry", message="run again by `./hublab campaign retry-failed`"
                )
                prefect.client.set_flow_run_state(run.id, again, force=True)
    sys.stdout.write(f"{len(found)} failed{'' if asked.list or not found else ', all to be run again now'}\n")
    return 1 if asked.list and found else 0


if __name__ == "__main__":
    sys.exit(main())
