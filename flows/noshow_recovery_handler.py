"""Somebody missed a booked call: three mails."""

from typing import Any

from prefect import flow

from flows.enrolment.enrol import enrol


@flow(name="christmas-noshow-recovery-handler")
def handle(payload: dict[str, Any], received_at: str | None = None) -> Any:
    """Enrol one contact in the sequence `noshow`; raises what `enrolment.enrol` raises."""
    return enrol("christmas", "noshow", payload, received_at)
