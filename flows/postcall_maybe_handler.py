"""A call ended with `Maybe`: three mails."""

from typing import Any

from prefect import flow

from flows.enrolment.enrol import enrol


@flow(name="christmas-postcall-maybe-handler")
def handle(payload: dict[str, Any], received_at: str | None = None) -> Any:
    """Enrol one contact in the sequence `postcall`; raises what `enrolment.enrol` raises."""
    return enrol("christmas", "postcall", payload, received_at)
