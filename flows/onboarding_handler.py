"""A customer has paid: three mails, and the customer's project in Notion."""

from typing import Any

from flows.enrolment.enrol import enrol
from flows.enrolment.flat import HandlerFlow


def _handle(payload: dict[str, Any], received_at: str | None = None) -> Any:
    """Enrol one contact in the sequence `onboarding`; raises what `enrolment.enrol` raises."""
    return enrol("christmas", "onboarding", payload, received_at)


handle = HandlerFlow(_handle, name="christmas-onboarding-handler")
