"""Enrolment for a campaign that is a file alone: any sequence without a handler of its own."""

from typing import Any

from prefect import flow

from flows.campaigns.model import GENERIC_HANDLER
from flows.enrolment.enrol import enrol


@flow(name=GENERIC_HANDLER)
def handle(campaign: str, sequence: str, payload: dict[str, Any], received_at: str | None = None) -> Any:
    """Enrol one contact in a sequence of a campaign file; raises what `enrolment.enrol` raises."""
    return enrol(campaign, sequence, payload, received_at)
