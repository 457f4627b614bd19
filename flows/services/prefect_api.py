"""The client of Prefect: runs created once, artifacts, and the limits that all workers share."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Self

import httpx
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterIdempotencyKey,
)
from prefect.client.schemas.objects import FlowRun
from prefect.exceptions import ObjectNotFound
from prefect.settings import PREFECT_API_URL
from prefect.states import Scheduled, to_state_create

from flows.services import settings
from flows.services.errors import ServerError
from flows.services.server_clock import clock
from flows.services.words import env_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType
    from uuid import UUID

    from prefect.client.schemas.objects import State
    from prefect.client.schemas.responses import DeploymentResponse

LOCKED = 423
MAIL_FLOW = "christmas-send-email"  # its runs are mails, those of another production as well
ALARM = "hublab-alarm"  # the tag of what the operator should hear of
NOTION_LIMIT, RESEND_LIMIT = "notion", "resend"
PAGE = 200


class NotRegisteredError(LookupError):
    """Something that `./hublab campaign register` creates is not at Prefect."""

    def __init__(self, what: str) -> None:
        """`what` names it."""
        super().__init__(f"{what} is not at Prefect; run `./hublab campaign register`")


@dataclass(frozen=True)
class Artifact:
    """What is kept under a key at Prefect, since when by Prefect's own clock."""

    id: str
    data: dict[str, Any]
    created: datetime

    @classmethod
    def of(cls, found: dict[str, Any]) -> Self:
        """As an answer shows it."""
        return cls(found["id"], found["data"], datetime.fromisoformat(found["created"]))


class Prefect:
    """One client for the length of a run; use it in a `with` block."""

    def __init__(self) -> None:
        """The API that Prefect's own settings name. Raises ServerError: none is named."""
        if not PREFECT_API_URL.value():
            # Prefect's client would start a server of its own, on which nobody has been enrolled.
            raise ServerError(f"PREFECT_API_URL: is not set; write the server's address, …/api, in {env_file()}")
        self._client = get_client(sync_client=True)
        hooks = self._client._client.event_hooks["response"]  # noqa: SLF001 - one of its own would be another connection
        if clock.hear not in hooks:
            hooks.append(clock.hear)
        self._deployments: dict[str, DeploymentResponse] = {}
        self._had = set[str]()  # limits through which one more call may go without asking

    def __enter__(self) -> Self:
        """Open the connection."""
        self._client.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self._client.__exit__(kind, error, trace)

    @property
    def client(self) -> Any:
        """Prefect's own synchronous client."""
        return self._client

    def now(self) -> datetime:
        """The time by Prefect's own clock, in UTC, which all hosts share; asks only where no answer has told it yet."""
        if not clock.known:
            self._client.api_healthcheck()
        return clock.now()

    def settings(self, *more: str) -> settings.Settings:
        """The settings of the flows; with the same answer, beside them, these variables as well."""
        return settings.load(self._client, *more)

    def wait_for(self, limit: str, *more: str) -> None:
        """Wait until the shared rate limit lets one more call through; with it a call through each of `more` is had.

        Raises:
            NotRegisteredError: a limit does not exist: without it nothing would be limited.
        """
        if limit in self._had:
            self._had.remove(limit)
            return
        names = [limit, *(one for one in more if one not in self._had)]
        while True:
            try:
                answer = self._client.increment_concurrency_slots(names=names, slots=1, mode="rate_limit")
            except httpx.HTTPStatusError as error:
                if error.response.status_code != LOCKED:
                    raise
                time.sleep(float(error.response.headers.get("Retry-After", 1)))
                continue
            there = {one["name"] for one in answer.json()}
            if missing := [one for one in names if one not in there]:
                raise NotRegisteredError(f"the rate limit {missing[0]!r}")
            self._had.update(names[1:])
            return

    def deployment(self, name: str) -> UUID:
        """The id of the deployment `flow/deployment`.

        Raises:
            NotRegisteredError: there is none.
        """
        return self._deployment(name).id

    def _deployment(self, name: str) -> DeploymentResponse:
        if name not in self._deployments:
            try:
                self._deployments[name] = self._client.read_deployment_by_name(name)
            except ObjectNotFound:
                raise NotRegisteredError(f"the deployment {name!r}") from None
        return self._deployments[name]

    def start_once(  # noqa: PLR0913 - as many as a run has properties
        self,
        deployment: str,
        parameters: dict[str, Any],
        key: str,
        *,
        due: datetime | None = None,
        state: State[Any] | None = None,
        name: str | None = None,
        tags: tuple[str, ...] = (),
    ) -> FlowRun:
        """The run of that idempotency key: a new one in `state` (to be run when `due`), or the one that has the key.

        It is written as a run of the deployment, not asked of the deployment: asked, the server reads every variable
        that there is, to fill in templates, and holds the run against its pool's schema, for each run anew. So no
        `__prefect_kind` in a parameter is filled in either.

        Raises:
            NotRegisteredError: no such deployment.
        """
        of = self._deployment(deployment)
        wanted = state or (Scheduled(scheduled_time=due) if due else Scheduled())
        body = {
            "flow_id": str(of.flow_id),
            "deployment_id": str(of.id),
            "work_pool_name": of.work_pool_name,
            "work_queue_name": of.work_queue_name,
            "parameters": of.parameters | parameters,
            "job_variables": {},
            "state": to_state_create(wanted).model_dump(mode="json", exclude_unset=True),
            "idempotency_key": key,
            "tags": sorted({*of.tags, *tags}),
        } | ({"name": name} if name else {})
        return FlowRun.model_validate(self._client.request("POST", "/flow_runs/", json=body).json())

    def run_of(self, key: str) -> FlowRun | None:
        """The run that has an idempotency key, if there is one."""
        wanted = FlowRunFilter(idempotency_key=FlowRunFilterIdempotencyKey(any_=[key]))
        found = self._client.read_flow_runs(flow_run_filter=wanted, limit=1)
        return found[0] if found else None

    def pages(self, path: str, asked: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """Everything that a filter finds, 200 at a time; what moves between two pages comes once."""
        seen, offset = set[str](), 0
        while True:
            page = self.client.request("POST", path, json=asked | {"limit": PAGE, "offset": offset}).json()
            yield from (one for one in page if one["id"] not in seen)
            if len(page) < PAGE:
                return
            seen |= {one["id"] for one in page}
            offset += PAGE

    # Variables: their names are unique, so that of two who create one, one is first.

    def claim(self, name: str, value: dict[str, Any], tags: tuple[str, ...] = ()) -> bool:
        """Create a variable; False when there is one of that name already, which stays as it is.

        An answer that was lost on its way reads as False too: whose value it is, the value tells.
        """
        try:
            self._client.request("POST", "/variables/", json={"name": name, "value": value, "tags": list(tags)})
        except httpx.HTTPStatusError as error:
            if error.response.status_code != httpx.codes.CONFLICT:
                raise
            return False
        return True

    def variables(self, names: list[str]) -> dict[str, Any]:
        """Those of these variables that there are, name → value, in one answer."""
        wanted = {"variables": {"name": {"any_": names}}, "limit": len(names)}
        found = self._client.request("POST", "/variables/filter", json=wanted).json()
        return {one["name"]: one["value"] for one in found}

    def tagged(self, tag: str) -> Iterator[tuple[str, Any]]:
        """The variables with a tag, by name: name and value."""
        asked = {"variables": {"tags": {"all_": [tag]}}, "sort": "NAME_ASC"}
        for one in self.pages("/variables/filter", asked):
            yield one["name"], one["value"]

    def variable(self, name: str) -> Any:
        """A variable's value; None where there is none of that name."""
        return self.variables([name]).get(name)

    def remember(self, name: str, value: dict[str, Any], tags: tuple[str, ...] = ()) -> None:
        """Set a variable, whether there is one or not, and whoever else does so at the same time."""
        for _ in range(2):
            if self.change(name, value):
                return
            if self.claim(name, value, tags):
                return
        raise LookupError(f"variable {name}: created and removed by others at once, again and again")

    def change(self, name: str, value: dict[str, Any]) -> bool:
        """Set a variable that is there; False when there is none of that name."""
        return self._there("PATCH", "/variables/name/{name}", {"name": name}, {"value": value})

    def forget(self, name: str) -> None:
        """Remove a variable; none of that name is as good."""
        self._there("DELETE", "/variables/name/{name}", {"name": name})

    def _there(self, method: Any, path: Any, which: dict[str, Any], body: dict[str, Any] | None = None) -> bool:
        """Change or remove one thing; False when it is not there."""
        try:
            self._client.request(method, path, path_params=which, json=body)
        except httpx.HTTPStatusError as error:
            if error.response.status_code != httpx.codes.NOT_FOUND:
                raise
            return False
        return True

    def alarm(self, key: str, text: str) -> None:
        """Keep what the operator should hear of, the latest of each kind, where the watch finds it."""
        # A route may be called otherwise than a variable.
        name = re.sub("[^a-z0-9_-]", "-", f"alarm-{key}".lower())
        self.remember(name, {"text": text, "at": self.now().isoformat()}, tags=(ALARM,))

    # Artifacts by the REST API itself: Prefect's client opens a websocket and a thread for an event about each of them.

    def artifacts(self, keys: list[str]) -> dict[str, list[Artifact]]:
        """The artifacts of each of these keys, the oldest first, in one answer."""
        wanted = {"artifacts": {"key": {"any_": keys}}}
        answer = self._client.request("POST", "/artifacts/filter", json=wanted).json()
        found: dict[str, list[Artifact]] = {key: [] for key in keys}
        for one in sorted(answer, key=lambda one: (one["created"], one["id"])):
            found[one["key"]].append(Artifact.of(one))
        return found

    def artifact(self, key: str) -> Artifact | None:
        """The oldest artifact of a key."""
        return next(iter(self.artifacts([key])[key]), None)

    def artifact_of(self, identity: str) -> Artifact | None:
        """The artifact of an id, if it is there."""
        wanted = {"artifacts": {"id": {"any_": [identity]}}}
        found = self._client.request("POST", "/artifacts/filter", json=wanted).json()
        return Artifact.of(found[0]) if found else None

    def keep(self, key: str, kind: str, data: dict[str, Any], *, run: str | None = None) -> Artifact:
        """Write a new artifact under a key."""
        wanted = {"key": key, "type": kind, "data": data, "flow_run_id": run}
        return Artifact.of(self._client.request("POST", "/artifacts/", json=wanted).json())

    def replace(self, artifact: Artifact, data: dict[str, Any]) -> None:
        """Change an artifact's data in place."""
        self._client.request("PATCH", "/artifacts/{id}", path_params={"id": artifact.id}, json={"data": data})

    def drop(self, artifact: str) -> None:
        """Remove the artifact of an id; one that is gone is as good."""
        self._there("DELETE", "/artifacts/{id}", {"id": artifact})
