"""A small Coolify and a small Prefect that keep their state, for the rollout's own logic; no container runs."""

from __future__ import annotations

import json
import uuid as uuids
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import httpx

from deploy.coolify.access import Coolify as Access
from deploy.coolify.client import Client
from deploy.coolify.look import look
from deploy.coolify.mover import Mover
from deploy.coolify.plan import ApplicationPlan, back, make
from deploy.coolify.prefect import Prefect
from deploy.coolify.state import ApplicationState, Revision
from deploy.onhost import prefect_api
from deploy.onhost.lock import Owner
from deploy.onhost.prefect_api import ApiError
from deploy.secret import Secret
from tests.deploy.coolify.script import TOKEN, URL
from tests.deploy.coolify.standin import APP, Standin
from tests.deploy.factories import wanted

if TYPE_CHECKING:
    from deploy.spec import WorkerHost

OLD, NEW = "a" * 40, "b" * 40
RELEASES = {OLD: "3.8.8-old", NEW: "3.8.8-new"}
# For `lies`: whatever is said, the old container goes on.
STAYS = "stays"
ACCESS = Access(URL, Secret(TOKEN))
OWNER = Owner("ada@desk", "deploy of release b")


def application(uuid: str = APP, **changes: Any) -> WorkerHost:
    return wanted(address=f"coolify:{uuid}", application=uuid, **{"coolify": ACCESS, **changes})


class FakePrefect(Prefect):
    """Variables, workers and probe runs; the clock goes on when somebody sleeps."""

    def __init__(self) -> None:
        super().__init__(prefect_api.Access("http://127.0.0.1:9/api"))
        self.variables: dict[str, dict[str, Any]] = {}
        self.workers: dict[str, dict[str, Any]] = {}
        self.time = datetime(2026, 1, 2, tzinfo=UTC)
        self.away = False
        self.refuses = 0
        self.probe_queues: set[str] = set()
        self.keeps = False
        self.open = False

    def is_open(self) -> bool:
        return self.open

    def now(self) -> datetime:
        return self.time

    def ask(self, path: str, body: Any = None, method: str | None = None) -> Any:
        if self.away:
            raise ConnectionRefusedError("refused")
        if self.refuses:
            raise ApiError(self.refuses, "no")
        if path == "/admin/version":
            return "3.8.8"
        if path.endswith("/workers/filter"):
            return list(self.workers.values())
        if method == "DELETE" and path.startswith("/work_pools/"):
            return self._forget(*path.split("/")[-2:])
        if path == "/flow_runs/filter":
            (name,) = body["flow_runs"]["name"]["any_"]
            worker = self.workers[name.removeprefix("probe-")]
            labels = {"prefect.worker.name": worker["name"], "hublab.release": worker["release"]}
            return [{"labels": labels}] if worker["release"] else []
        return self._variable(path, body, method)

    def _forget(self, kind: str, name: str) -> None:
        there: Any = self.workers if kind == "workers" else self.probe_queues
        if self.keeps or name not in there:
            raise ApiError(500 if self.keeps else 404, "no")
        (there.pop if kind == "workers" else there.remove)(name)

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
class Coolify(Standin):
    """No container runs. `ends`: how each next deployment ends; `lies`: what runs then, whatever was deployed."""

    prefect: FakePrefect
    ends: list[str] = field(default_factory=list)
    lies: list[str] = field(default_factory=list)
    served: int = 0

    def advance(self, found: dict[str, Any]) -> None:
        """Each look brings a deployment one step further."""
        if found["status"] == "queued":
            found["status"] = "in_progress"
        elif found["status"] == "in_progress":
            found["status"] = self.ends.pop(0) if self.ends else "finished"
            if found["status"] == "finished":
                tag = self.app.get("docker_registry_image_tag", "")
                self.serve(self.lies.pop(0) if self.lies else tag or RELEASES.get(found["commit"], ""))
            elif found["status"] == "failed":
                entries = [{"output": f"secret {TOKEN}", "hidden": False}, {"output": "no", "hidden": True}]
                found["logs"] = json.dumps([*entries, {"output": "New container is unhealthy.", "hidden": False}])

    def stop(self) -> None:
        """Nothing runs any more."""
        self.serve("")

    def serve(self, release: str) -> None:
        """The old container is gone, the new one is ONLINE."""
        if release == STAYS:
            return
        for worker in self.prefect.workers.values():
            if worker["name"].startswith(self.uuid):
                worker["status"] = "OFFLINE"
        self.app["status"] = "running:healthy" if release else "exited:unhealthy"
        if release:
            self.served += 1
            name, since = f"{self.uuid}-{self.served - 1}", timedelta(milliseconds=self.served)
            created = (self.prefect.time + since).isoformat()
            self.prefect.probe_queues.add(f"probe-{name}")
            self.prefect.workers[name] = {"name": name, "status": "ONLINE", "release": release, "created": created}


class Theatre:
    """An operator's machine, Coolify with one application, and Prefect, which may be another's as well."""

    def __init__(self, uuid: str = APP, prefect: FakePrefect | None = None, **changes: Any) -> None:
        self.wanted = application(uuid, **changes)
        self.prefect = prefect or FakePrefect()
        self.coolify = Coolify(self.prefect, uuid=uuid)
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
        self.sleep(60)
        self.coolify.journal.clear()
        self.said.clear()
