"""Prefect, by its REST API: the runs, and why a run may be waiting."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from e2e.contract import SEND, sequences
from e2e.outside.api import Api, moment

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from e2e.target import Target

_PAGE = 200
_OPEN = ["SCHEDULED", "PENDING", "RUNNING", "PAUSED", "CANCELLING"]
_MARGIN = timedelta(minutes=2)  # how far this machine's clock may be from the server's


@dataclass(frozen=True)
class Run:
    """A flow run as Prefect shows it. `step` is 0 for a handler's run."""

    id: str
    to: str
    sequence: str
    step: int
    state: str
    reason: str
    due: datetime | None
    started: datetime | None
    ended: datetime | None
    count: int


class Prefect:
    """The server."""

    def __init__(self, target: Target) -> None:
        """The API and the credential that `.env` names."""
        user, _, password = target["PREFECT_API_AUTH_STRING"].partition(":")
        key = target["PREFECT_API_KEY"]
        headers = {"Authorization": f"Bearer {key}"} if key else None
        self.api = Api("Prefect", target["PREFECT_API_URL"], headers, (user, password) if user else None)
        self._pool = target["HUBLAB_WORK_POOL"] or "default"
        mails = target["HUBLAB_CAMPAIGN_QUEUE"] or "campaign"
        self._queues = (f"{mails}-handlers", mails)

    def runs_since(self, began: datetime) -> list[Run]:
        """The campaign's runs that are due after a moment. Raises AwayError."""
        return self._runs({"expected_start_time": {"after_": (began - _MARGIN).isoformat()}})

    def open_runs(self) -> list[Run]:
        """The campaign's runs that are not at an end. Raises AwayError."""
        return self._runs({"state": {"type": {"any_": _OPEN}}})

    def _runs(self, wanted: dict[str, Any]) -> list[Run]:
        names = [SEND, *(one.handler for one in sequences().values())]
        found: list[Run] = []
        while True:
            body = {"flows": {"name": {"any_": names}}, "flow_runs": wanted, "sort": "ID_DESC"}
            page = self.api.ask("POST", "/flow_runs/filter", {**body, "limit": _PAGE, "offset": len(found)})
            found += [parsed(raw) for raw in page]
            if len(page) < _PAGE:
                return found

    def secrets(self, names: Iterable[str]) -> dict[str, str]:
        """The values of Secret blocks that there are; never to be shown. Raises AwayError."""
        body = {"block_documents": {"name": {"any_": list(names)}}, "include_secrets": True}
        found = self.api.ask("POST", "/block_documents/filter", body)
        return {one["name"]: str(one["data"].get("value")) for one in found}

    def settings(self) -> dict[str, str]:
        """The variable `hublab_settings`, which all hosts share. Raises AwayError."""
        found = self.api.ask("POST", "/variables/filter", {"variables": {"name": {"any_": ["hublab_settings"]}}})
        values = found[0]["value"] if found else {}
        return {key: str(value) for key, value in values.items()} if isinstance(values, dict) else {}

    def version(self) -> str:
        """The server's version. Raises AwayError."""
        return str(self.api.ask("GET", "/admin/version"))

    def obstacles(self) -> list[str]:
        """Why a run that is due may wait, as sentences with a remedy; none is known when empty. Raises AwayError."""
        pool = self._pool
        found = self.api.ask("GET", f"/work_pools/{pool}")
        trouble = [f"the work pool {pool!r} is paused"] if found["is_paused"] else []
        queues = {one["name"]: one for one in self.api.ask("POST", f"/work_pools/{pool}/queues/filter", {})}
        trouble += [
            f"the queue {one!r} is not there: ./hublab campaign register" for one in self._queues if one not in queues
        ]
        paused = [one for one in self._queues if one in queues and queues[one]["is_paused"]]
        trouble += [f"the queue {one!r} is paused: ./hublab campaign resume" for one in paused]
        workers = self.api.ask("POST", f"/work_pools/{pool}/workers/filter", {})
        online = sum(one["status"] == "ONLINE" for one in workers)
        if not online:
            trouble.append(f"no worker of the pool {pool!r} is online ({len(workers)} known): ./hublab status")
        return trouble + self._deployments()

    def _deployments(self) -> list[str]:
        names = {SEND, *(one.handler for one in sequences().values())}
        found = self.api.ask("POST", "/deployments/filter", {"deployments": {"name": {"any_": sorted(names)}}})
        missing = names - {one["name"] for one in found}
        return [f"the deployment {name!r} is not there: ./hublab campaign register" for name in sorted(missing)]


def parsed(raw: dict[str, Any]) -> Run:
    """A run of Prefect's as this module shows it. Pure."""
    given = raw.get("parameters") or {}
    enrolment, payload = given.get("enrolment") or {}, given.get("payload") or {}
    return Run(
        id=raw["id"],
        to=str(enrolment.get("email") or payload.get("email") or "").lower(),
        sequence=str(enrolment.get("sequence") or ""),
        step=int(given.get("step") or 0),
        state=raw.get("state_name") or "",
        reason=(raw.get("state") or {}).get("message") or "",
        due=moment(raw.get("expected_start_time")),
        started=moment(raw.get("start_time")),
        ended=moment(raw.get("end_time")),
        count=int(raw.get("run_count") or 0),
    )
