"""Whether somebody has confirmed an enrolment, where its sequence asks for it: a variable at Prefect for each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flows.campaigns import plan as plans
from flows.recipients import unsubscribe

if TYPE_CHECKING:
    from flows.campaigns.model import Sequence
    from flows.services.prefect_api import Prefect

PURPOSE = "confirm"


def variable(enrolment: str) -> str:
    """Where it is kept that an enrolment is confirmed."""
    return f"confirmed-{enrolment}"


def url(public: str, secret: str, enrolment: str) -> str:
    """The address in a mail by which its recipient confirms; the token names the enrolment, not the recipient."""
    return f"{public.rstrip('/')}/{PURPOSE}/{unsubscribe.token(secret, enrolment, PURPOSE)}"


def record(prefect: Prefect, enrolment: str, at: str) -> None:
    """Keep that an enrolment is confirmed; twice is the same as once. Raises httpx.HTTPError."""
    prefect.claim(variable(enrolment), {"at": at}, tags=("hublab-confirmation",))


def confirmed(prefect: Prefect, enrolment: str) -> bool:
    """Whether an enrolment is confirmed. Raises httpx.HTTPError: not readable means not sent."""
    return prefect.variable(variable(enrolment)) is not None


def lacking(prefect: Prefect, sequence: Sequence, enrolment: dict[str, Any], number: int) -> bool:
    """Whether a mail waits for a confirmation that is not there. Raises as `confirmed`."""
    # Who was enrolled before the sequence asked for it was never asked.
    asked = sequence.confirm and enrolment.get("confirm", True)
    waits = asked and number != plans.of(sequence, enrolment)[0].number
    return waits and not confirmed(prefect, enrolment["key"])
