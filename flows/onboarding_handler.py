"""A customer has paid: three mails, and the customer's project in Notion."""

from typing import Any

from prefect import flow

from flows.enrolment.enrol import enrol


@flow(name="christmas-onboarding-handler")
def handle(payload: dict[str, Any], received_at: str | None = None) -> Any:
    """Enrol one contact in the sequence `onboarding`; raises what `enrolment.enrol` raises."""
    return enrol("christmas", "onboarding", payload, received_at)
