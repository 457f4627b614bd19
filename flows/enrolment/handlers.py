"""A handler's run at Prefect, once for each enrolment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flows.campaigns.model import GENERIC_HANDLER

if TYPE_CHECKING:
    from prefect.client.schemas.objects import FlowRun, State

    from flows.campaigns.model import Sequence
    from flows.services.prefect_api import Prefect


def start(  # noqa: PLR0913 - what an enrolment is asked for by
    prefect: Prefect,
    sequence: Sequence,
    key: str,
    payload: dict[str, Any],
    received_at: str,
    *,
    state: State[Any] | None = None,
) -> FlowRun:
    """Have an enrolment's handler run; the one run that has its key. In a `state` that is final nothing runs.

    Raises what Prefect's client raises, NotRegisteredError.
    """
    parameters: dict[str, Any] = {"payload": payload, "received_at": received_at}
    if sequence.handler == GENERIC_HANDLER:
        parameters |= {"campaign": sequence.campaign, "sequence": sequence.name}
    tags = (f"campaign:{sequence.campaign}", f"enrolment:{key}")
    return prefect.start_once(f"{sequence.handler}/{sequence.handler}", parameters, key, state=state, tags=tags)
