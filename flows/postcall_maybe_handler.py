"""A call ended with `Maybe`: three mails."""

from typing import Any

from flows.enrolment.enrol import enrol
from flows.enrolment.flat import HandlerFlow


def _handle(payload: dict[str, Any], received_at: str | None = None) -> Any:
    """Enrol one contact in the sequence `postcall`; raises what `enrolment.enrol` raises."""
    return enrol("christmas", "postcall", payload, received_at)


handle = HandlerFlow(_handle, name="christmas-postcall-maybe-handler")
