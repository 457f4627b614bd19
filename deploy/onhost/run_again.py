"""Has flow runs that ended undone run again, as "Retry" on Prefect's page does."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus

from deploy.onhost.common import say
from deploy.onhost.prefect_api import Access, ApiError, request
from deploy.onhost.untrusted import printable
from deploy.onhost.wire import Query

UNDONE = ("CRASHED", "FAILED", "CANCELLED")


@dataclass(frozen=True, kw_only=True)
class RunAgain(Query):
    """The ids of flow runs."""

    runs: tuple[str, ...]
    access: Access


def schedule(access: Access, run: str) -> str:
    """Why it is not run again; empty where it is.

    Prefect would start one that runs a second time beside itself: a worker may have had it run again meanwhile.
    """
    now = request(access, f"/flow_runs/{run}")["state"]
    if now["type"] not in UNDONE:
        return f"it is {printable(str(now['name']))}, and neither failed, crashed nor cancelled"
    state = {"type": "SCHEDULED", "name": "AwaitingRetry", "message": "Retried by the operator."}
    answer = request(access, f"/flow_runs/{run}/set_state", {"state": state})
    return "" if answer["status"] == "ACCEPT" else str(answer["details"].get("reason", answer["status"]))


def main(query: RunAgain) -> int:
    """0: each is scheduled. 1: one could not be; the others are."""
    failed = 0
    for run in query.runs:
        try:
            refused = schedule(query.access, run)
        except (OSError, ValueError) as error:
            unknown = isinstance(error, ApiError) and error.status == HTTPStatus.NOT_FOUND
            refused = "Prefect has no run of this id; its page shows the ids" if unknown else str(error)
        say(f"flow run {run} {f'is not run again: {refused}' if refused else 'will be run again'}")
        failed |= bool(refused)
    return failed
