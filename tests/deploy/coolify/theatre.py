"""A small Coolify and a small Prefect that keep their state, for the rollout's own logic; no container runs."""

from __future__ import annotations

import json
import uuid as uuids
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import httpx

from deploy.coolify.client import Client
from deploy.coolify.look import look
from deploy.coolify.mover import Mover
from deploy.coolify.plan import ApplicationPlan, back, make
from deploy.coolify.prefect import Prefect
from deploy.coolify.state import ApplicationState, Revision
from deploy.onhost.prefect_api import ApiError
from deploy.secret import Secret
from deploy.spec import Coolify as Access
from deploy.spec import WorkerHost
from tests.deploy.coolify.script import TOKEN, URL
from tests.deploy.factories import wanted

if TYPE_CHECKING:
    from collections.abc import Callable

APP = "app1app1"
OLD, NEW = "a" * 40, "b" * 40
RELEASES = {OLD: "3.8.8-old", NEW: "3.8.8-new"}
# For `lies`: whatever is said, the old container goes on.
STAYS = "stays"
OWNER = {"who": "ada@desk", "what": "deploy of release b"}


def application(**changes: Any) -> WorkerHost:
    access = {"coolify": Access(URL, Secret(TOKEN))}
    return wanted(address=f"coolify:{APP}", application=APP, **{**access, **changes})


class FakePrefect(Prefect):
    """Variables, workers and probe runs; the clock goes on when somebody sleeps."""

    def __init__(self) -> None:
        super().__init__({})
        self.variables: dict[str, dict[str, Any]] = {}
        self.workers: dict[str, dict[str, Any]] = {}
        self.time = datetime(2026, 1, 2, tzinfo=UTC)
        self.away = False
        self.paused: dict[str, bool] = {}

    def now(self) -> datetime:
        return self.time

    def ask(self, path: str, body: Any = None, method: str | None = None) -> Any:
        if self.away:
            raise ConnectionRefusedError("refused")
        if path == "/admin/version":
            return "3.8.8"
        if path.endswith("/workers/filter"):
            return list(self.workers.values())
        if path == "/flow_runs/filter":
            (name,) = body["flow_runs"]["name"]["any_"]
            worker = self.workers[name.removeprefix("probe-")]
            labels = {"prefect.worker.name": worker["name"], "hublab.release": worker["release"]}
            return [{"labels": labels}] if worker["release"] else []
        return self._variable(path, body, method)

    def _variable(self, path: str, body: Any, method: str | None) -> Any:
        if path == "/variables/":
            if body["name"] in self.variables:
                raise ApiError(409, "exists")
            made = {"id": str(uuids.uuid4()), **json.loads(json.dumps(body)), "updated": self.time.isoformat()}
            self.variables[body["name"]] = made
            return made
        by_name = path.startswith("/variables/name/")
        key, value = ("name" if by_name else "id"), path.rpartition("/")[2]
        found = next((item for item in self.variables.values() if item[key] == value), None)
        if found is None:
            raise ApiError(404, "absent")
        if method == "DELETE":
            del self.variables[found["name"]]
        elif method == "PATCH":
            found |= {**json.loads(json.dumps(body)), "updated": self.time.isoformat()}
        return found if method is None else None


@dataclass
class Coolify:
    """One application. `ends`: how each next deployment ends; `lies`: what runs then, whatever was deployed."""

    prefect: FakePrefect
    app: dict[str, Any] = field(default_factory=dict)
    envs: list[dict[str, Any]] = field(default_factory=list)
    deployments: list[dict[str, Any]] = field(default_factory=list)
    ends: list[str] = field(default_factory=list)
    lies: list[str] = field(default_factory=list)
    journal: list[str] = field(default_factory=list)
    fails: dict[str, list[httpx.Response | Exception]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.app = {
            "uuid": APP,
            "name": "worker",
            "status": "exited:unhealthy",
            "build_pack": "dockerfile",
            "git_repository": "ada/hublab",
            "git_branch": "main",
            "git_commit_sha": "HEAD",
            "health_check_enabled": False,
            "destination": {"uuid": "net1", "server": {"uuid": "srv1"}},
            "settings": {"stop_grace_period": None},
        } | self.app

    def answer(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path.removeprefix("/api/v1")
        ask = f"{request.method} {path}"
        if self.fails.get(ask):
            failure = self.fails[ask].pop(0)
            if isinstance(failure, Exception):
                raise failure
            return failure
        if request.method != "GET":
            self.journal.append(ask)
        body = json.loads(request.content) if request.content else None
        found = self._route(request.method, path, body)
        return found if isinstance(found, httpx.Response) else httpx.Response(200, json=found)

    def _route(self, method: str, path: str, body: Any) -> Any:
        routes: dict[str, Callable[[], Any]] = {
            "GET /version": lambda: httpx.Response(200, content=b"4.3.11"),
            "GET /servers": lambda: [{"uuid": "srv1", "name": "hublab", "settings": {}}],
            f"GET /applications/{APP}": lambda: self.app,
            f"PATCH /applications/{APP}": lambda: self._patch(body),
            f"POST /applications/{APP}/stop": lambda: self.serve(""),
            "POST /deploy": lambda: {"deployments": [{"deployment_uuid": self.deploy(), "message": "queued"}]},
            f"GET /deployments/applications/{APP}": lambda: {"deployments": list(reversed(self.deployments))},
        }
        if path == f"/applications/{APP}/envs":
            return self._environment(method, body)
        if found := next(
            (item for item in self.deployments if path == f"/deployments/{item['deployment_uuid']}"), None
        ):
            self.advance(found)
            return found
        answer = routes.get(f"{method} {path}")
        return answer() if answer else httpx.Response(404, json={"message": "Not found."})

    def _patch(self, body: dict[str, Any]) -> dict[str, str]:
        if "stop_grace_period" in body:
            self.app["settings"] |= {"stop_grace_period": body.pop("stop_grace_period")}
        self.app |= body
        return {"uuid": APP}

    def _environment(self, method: str, body: Any) -> Any:
        if method == "GET":
            return self.envs
        there = [item for item in self.envs if (item["key"], item["is_preview"]) == (body["key"], body["is_preview"])]
        if method == "POST":
            if there:
                return httpx.Response(409, json={"message": "Environment variable already exists."})
            self.envs += [dict(body), {**body, "is_preview": True, "is_shown_once": False}]
            return httpx.Response(201, json={"uuid": "env"})
        there[0].update(body)
        return httpx.Response(201, json={"uuid": "env"})

    def deploy(self) -> str:
        """What /deploy does: one that is queued or running swallows the next."""
        if any(item["status"] in ("queued", "in_progress") for item in self.deployments):
            return "phantom"
        name = f"dep{len(self.deployments) + 1}"
        self.deployments.append({"deployment_uuid": name, "status": "queued", "commit": self.app["git_commit_sha"]})
        return name

    def advance(self, found: dict[str, Any]) -> None:
        if found["status"] == "queued":
            found["status"] = "in_progress"
        elif found["status"] == "in_progress":
            found["status"] = self.ends.pop(0) if self.ends else "finished"
            if found["status"] == "finished":
                self.serve(self.lies.pop(0) if self.lies else RELEASES.get(found["commit"], ""))
            elif found["status"] == "failed":
                entries = [{"output": f"secret {TOKEN}", "hidden": False}, {"output": "no", "hidden": True}]
                found["logs"] = json.dumps([*entries, {"output": "New container is unhealthy.", "hidden": False}])

    def serve(self, release: str) -> None:
        """The old container is gone, the new one is ONLINE."""
        if release == STAYS:
            return
        for worker in self.prefect.workers.values():
            worker["status"] = "OFFLINE"
        self.app["status"] = "running:healthy" if release else "exited:unhealthy"
        if release:
            name, created = f"{APP}-{len(self.prefect.workers)}", f"2026-01-02T00:00:{len(self.prefect.workers):02d}"
            self.prefect.workers[name] = {"name": name, "status": "ONLINE", "release": release, "created": created}


class Theatre:
    """An operator's machine, Coolify and Prefect."""

    def __init__(self, **changes: Any) -> None:
        self.wanted = application(**changes)
        self.prefect = FakePrefect()
        self.coolify = Coolify(self.prefect)
        self.said: list[str] = []
        self.commit = NEW
        self.mover = self.operator()

    def operator(self) -> Mover:
        """One who deploys, with a memory of his own."""
        client = Client(URL, Secret(TOKEN), transport=httpx.MockTransport(self.coolify.answer), sleep=self.sleep)
        return Mover(self.wanted, client, self.prefect, self.said.append, sleep=self.sleep, clock=self.clock)

    def clock(self) -> float:
        return self.prefect.time.timestamp()

    def sleep(self, seconds: float) -> None:
        self.prefect.time += timedelta(seconds=seconds)

    def look(self) -> ApplicationState:
        state = look(self.wanted, self.mover.coolify, self.prefect)
        revision = Revision(self.commit, (), pushed=True, remote="https://example.com/ada/hublab.git")
        return replace(state, revision=revision, releases=frozenset({RELEASES[self.commit]}))

    def plan(self) -> ApplicationPlan:
        return make(self.wanted, self.look())

    def back(self, source: str = "") -> ApplicationPlan:
        return back(self.wanted, self.look(), source)

    def deploy(self, plan: ApplicationPlan | None = None) -> None:
        """What a rollout of this one application does, up to its end."""
        self.mover.ledger.take("token", OWNER)
        plan = plan or self.plan()
        assert not plan.problems, plan.problems
        if plan.reasons:
            self.mover.move(plan, self.look(), "ada@desk")
        self.mover.commit(plan)
        self.mover.ledger.release()

    def served(self, commit: str = OLD) -> None:
        """A deploy of another commit, in the past."""
        self.commit, now = commit, self.commit
        self.deploy()
        self.commit = now
        self.coolify.journal.clear()
        self.said.clear()
