"""The entry point of the deployment that sends: one run is one mail. What it does: `sending/one_mail.py`."""

from datetime import timedelta
from typing import Any

from flows.sending.one_mail import send
from flows.services.lenient_flow import LenientFlow
from flows.services.postpone import NotYetError, or_later
from flows.services.prefect_api import MAIL_FLOW, Prefect

LOOK_AGAIN = timedelta(hours=1)


class SendFlow(LenientFlow):
    """The flow that sends; a mail that another production scheduled, with other parameters, is not refused but kept."""

    def fold(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """Of another production's parameters nothing is taken: only that they are not ours is told."""
        return parameters if "enrolment" in parameters else {"enrolment": None, "step": None}


def _send_email(enrolment: dict[str, Any] | None, step: int | None) -> Any:
    """Send one step of an enrolment, or skip it with the reason; raises what `one_mail.send` raises."""
    if enrolment is None or step is None:
        return or_later(_wait)
    return send(enrolment, step)


def _wait() -> Any:
    # To fail would lose the mail; to send it without its record would be to guess whether it went out already.
    with Prefect() as prefect:
        when = prefect.now() + LOOK_AGAIN
    raise NotYetError(when, "scheduled by another production; it has not been taken over yet")


send_email = SendFlow(_send_email, name=MAIL_FLOW)
