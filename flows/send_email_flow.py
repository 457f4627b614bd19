"""The entry point of the deployment that sends: one run is one mail. What it does: `sending/one_mail.py`."""

from typing import Any

from prefect import flow

from flows.sending.one_mail import send


@flow(name="christmas-send-email")
def send_email(enrolment: dict[str, Any], step: int) -> Any:
    """Send one step of an enrolment, or skip it with the reason; raises what `one_mail.send` raises."""
    return send(enrolment, step)
