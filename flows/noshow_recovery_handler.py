"""Somebody missed a booked call: three mails."""

from typing import Any

from flows.enrolment.enrol import enrol
from flows.enrolment.flat import HandlerFlow


def _handle(payload: dict[str, Any], received_at: str | None = None) -> Any:
    """Enrol one contact in the sequence `noshow`; raises what `enrolment.enrol` raises."""
    return enrol("christmas", "noshow", payload, received_at)


handle = HandlerFlow(_handle, name="christmas-noshow-recovery-handler")
