"""Has flow runs that have ended run again, as "Retry" on Prefect's page does."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus

from deploy.onhost.common import say
from deploy.onhost.prefect_api import Access, ApiError, request
from deploy.onhost.wire import Query


@dataclass(frozen=True, kw_only=True)
class RunAgain(Query):
    """The ids of flow runs."""

    runs: tuple[str, ...]
    access: Access


def main(query: RunAgain) -> int:
    """0: each is scheduled. 1: one could not be; the others are."""
    failed = 0
    for run in query.runs:
        state = {"type": "SCHEDULED", "name": "AwaitingRetry", "message": "Retried by the operator."}
        try:
            answer = request(query.access, f"/flow_runs/{run}/set_state", {"state": state})
            refused = "" if answer["status"] == "ACCEPT" else answer["details"].get("reason", answer["status"])
        except (OSError, ValueError) as error:
            unknown = isinstance(error, ApiError) and error.status == HTTPStatus.NOT_FOUND
            refused = "Prefect has no run of this id; its page shows the ids" if unknown else str(error)
        say(f"flow run {run} {f'is not run again: {refused}' if refused else 'will be run again'}")
        failed |= bool(refused)
    return failed
