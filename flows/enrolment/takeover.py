"""Whether another production is being taken over, or given back: kept in a variable at Prefect, which handlers ask.

From before the first deployment is changed until every enrolment of the other side has its key, nobody is enrolled: a
person whom the other side has just enrolled would be enrolled twice.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from flows.services.postpone import NotYetError

if TYPE_CHECKING:
    from flows.services.prefect_api import Prefect

VARIABLE = "hublab-takeover"
# What it says: who holds the key of whom is not settled yet; settled; everything goes back.
CLAIMING, CLAIMED, GOING_BACK = "claiming", "claimed", "going back"
LOOK_AGAIN = timedelta(seconds=30)


def wait(prefect: Prefect, kept: dict[str, Any] | None) -> None:
    """Let a handler's run wait while it is not settled who enrols whom, as the variable says. Raises NotYetError."""
    phase = (kept or {}).get("phase")
    if phase in {CLAIMING, GOING_BACK}:
        raise NotYetError(prefect.now() + LOOK_AGAIN, f"another production is being taken over ({phase})")
