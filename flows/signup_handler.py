"""A visitor filled in the BusOS assessment: seven mails."""

from typing import Any

from prefect import flow

from flows.enrolment.enrol import enrol


@flow(name="christmas-signup-handler")
def handle(payload: dict[str, Any], received_at: str | None = None) -> Any:
    """Enrol one contact in the sequence `signup`; raises what `enrolment.enrol` raises."""
    return enrol("christmas", "signup", payload, received_at)
