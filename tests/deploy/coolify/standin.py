"""One application at a Coolify that keeps its state; which containers run, if any, is what a subclass says.

Its answers are those that Coolify 4.3.11 was recorded with (`recorded.json`); `test_standin.py` compares the two.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx

from tests.deploy.coolify.script import TOKEN

if TYPE_CHECKING:
    from collections.abc import Callable

APP = "app1app1"
ABILITIES = ("read", "write", "deploy")
COMMAND = re.compile(r"[a-zA-Z0-9 \-_./:=@,+]{1,1000}")
# What a deploy may set of an application, and nothing else: an unknown field is refused as Coolify refuses it.
FIELDS = re.compile(
    r"name|description|git_(repository|branch|commit_sha)|build_pack|dockerfile_(location|target_build)"
    r"|docker_registry_image_(name|tag)|health_check_\w+|limits_\w+|custom_docker_run_options|max_restart_count"
    r"|(pre|post)_deployment_command|ports_exposes|ports_mappings|stop_grace_period|domains"
)
FLAGS = {"is_preview", "is_literal", "is_multiline", "is_shown_once", "is_runtime", "is_buildtime"}


def says(status: int, message: str, **more: Any) -> httpx.Response:
    """An answer that is none of success."""
    return httpx.Response(status, json={"message": message, **more})


@dataclass(kw_only=True)
class Standin:
    """One application. `fails`: what comes in place of the next answers to a question; `journal`: what changed it."""

    uuid: str = APP
    app: dict[str, Any] = field(default_factory=dict)
    envs: list[dict[str, Any]] = field(default_factory=list)
    deployments: list[dict[str, Any]] = field(default_factory=list)
    journal: list[str] = field(default_factory=list)
    fails: dict[str, list[httpx.Response | Exception]] = field(default_factory=dict)
    storages: list[dict[str, Any]] = field(default_factory=list)
    folders: list[dict[str, Any]] = field(default_factory=list)
    tokens: dict[str, tuple[str, ...]] = field(default_factory=lambda: {TOKEN: ABILITIES})
    api_is_on: bool = True
    queue_limit: int = 25

    def __post_init__(self) -> None:
        """As Coolify makes one; `app` has what differs."""
        self.app = {
            "uuid": self.uuid,
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

    # -- what runs ---------------------------------------------------------------------------------------------

    def advance(self, found: dict[str, Any]) -> None:
        """Somebody looks at a deployment."""

    def stop(self) -> None:
        """Somebody stops the application."""

    def log(self) -> str | None:
        """What its container says; None where none runs."""
        return None

    def shown(self) -> dict[str, Any]:
        """The application as it is."""
        return self.app

    # -- the API -----------------------------------------------------------------------------------------------

    def answer(self, request: httpx.Request) -> httpx.Response:
        """What Coolify answers."""
        path = request.url.path.removeprefix("/api/v1")
        ask = f"{request.method} {path}"
        if self.fails.get(ask):
            failure = self.fails[ask].pop(0)
            if isinstance(failure, Exception):
                raise failure
            return failure
        if refused := self._refusal(request, ask):
            return refused
        if request.method != "GET":
            self.journal.append(ask)
        body = json.loads(request.content) if request.content else None
        found = self._route(request.method, path, body)
        return found if isinstance(found, httpx.Response) else httpx.Response(200, json=found)

    def _refusal(self, request: httpx.Request, ask: str) -> httpx.Response | None:
        """Who may not ask that: by the token, by its abilities, or nobody while the API is off."""
        if not self.api_is_on:
            return says(403, "You are not allowed to access the API.", success=True)
        abilities = self.tokens.get(request.headers.get("Authorization", "").removeprefix("Bearer "))
        if abilities is None:
            return says(401, "Unauthenticated.")
        needed = "read" if request.method == "GET" else "deploy" if ask == "POST /deploy" else "write"
        return None if needed in abilities else says(403, f"Missing required permissions: {needed}")

    def _route(self, method: str, path: str, body: Any) -> Any:
        here = f"/applications/{self.uuid}"
        routes: dict[str, Callable[[], Any]] = {
            "GET /version": lambda: httpx.Response(200, content=b"4.3.11"),
            "GET /servers": lambda: [{"uuid": "srv1", "name": "hublab", "settings": {}}],
            "GET /servers/srv1/resources": self._resources,
            f"GET {here}": self.shown,
            f"PATCH {here}": lambda: self._patch(body),
            f"GET {here}/envs": lambda: [
                {key: value for key, value in item.items() if key != "value"} for item in self.envs
            ],
            f"POST {here}/envs": lambda: self._environment(method, body),
            f"PATCH {here}/envs": lambda: self._environment(method, body),
            f"GET {here}/logs": self._logs,
            f"GET {here}/storages": lambda: {"persistent_storages": self.storages, "file_storages": self.folders},
            f"POST {here}/storages": lambda: self._storage(body),
            f"POST {here}/stop": self._stop,
            "GET /deploy": lambda: says(405, "This endpoint has changed to a POST request."),
            "POST /deploy": self._deploy,
            "GET /deployments": lambda: [item for item in self.deployments if under_way(item)],
            f"GET /deployments{here}": lambda: {
                "count": len(self.deployments),
                "deployments": list(reversed(self.deployments)),
            },
        }
        if path.startswith("/deployments/") and f"{method} {path}" not in routes:
            return self._deployment(path.rpartition("/")[2])
        if method == "DELETE" and path.startswith(f"{here}/envs/"):
            return self._forget(path.rpartition("/")[2])
        if answer := routes.get(f"{method} {path}"):
            return answer()
        return says(404, "Application not found." if path.startswith("/applications/") else "Not found.")

    def _resources(self) -> list[dict[str, Any]]:
        app = self.shown()
        return [{"id": 1, "uuid": self.uuid, "name": app["name"], "type": "application", "status": app["status"]}]

    def _patch(self, body: dict[str, Any]) -> Any:
        if faults := {name: why for name, value in body.items() if (why := _fault(name, value))}:
            return says(422, "Validation failed.", errors={name: [why] for name, why in faults.items()})
        if "stop_grace_period" in body:
            self.app["settings"] |= {"stop_grace_period": body.pop("stop_grace_period")}
        if "domains" in body:
            self.app["fqdn"] = body.pop("domains")
        self.app |= body
        return {"uuid": self.uuid}

    def _storage(self, body: dict[str, Any]) -> httpx.Response:
        """A volume is called by its application's uuid and its own name; of a second at one path nobody is warned."""
        if body.get("type") != "persistent" or not (body.get("name") and body.get("mount_path", "").startswith("/")):
            return says(422, "Validation failed.", errors={"type": ["The type field is required."]})
        self.storages.append({**body, "uuid": f"vol{len(self.storages)}", "name": f"{self.uuid}-{body['name']}"})
        return httpx.Response(201, json=self.storages[-1])

    def _environment(self, method: str, body: dict[str, Any]) -> Any:
        if unknown := set(body) - FLAGS - {"key", "value", "comment"}:
            errors = {key: ["This field is not allowed."] for key in unknown}
            return says(422, "Validation failed.", errors=errors)
        preview = body.get("is_preview", False)
        there = [item for item in self.envs if (item["key"], item["is_preview"]) == (body["key"], preview)]
        if method == "POST":
            if there:
                return says(409, "Environment variable already exists. Use PATCH request to update it.")
            flags = dict.fromkeys(FLAGS, False) | {"is_runtime": True, "is_buildtime": True}
            made = flags | {"uuid": f"env{len(self.envs)}"} | body
            self.envs += [
                made,
                {**made, "uuid": f"env{len(self.envs) + 1}", "is_preview": True, "is_shown_once": False},
            ]
            return httpx.Response(201, json={"uuid": made["uuid"]})
        if not there:
            return says(404, "Environment variable not found.")
        if there[0]["is_shown_once"] and "is_shown_once" not in body:
            return says(500, "Server Error")
        there[0].update(body)
        return httpx.Response(201, json={"uuid": there[0].get("uuid", "env")})

    def _forget(self, name: str) -> Any:
        there = [item for item in self.envs if item["uuid"] == name]
        for item in there:
            self.envs.remove(item)
        return {"message": "Environment variable deleted."} if there else says(404, "Environment variable not found.")

    def _logs(self) -> Any:
        said = self.log()
        return says(400, "Application is not running.") if said is None else {"logs": said}

    def _stop(self) -> dict[str, str]:
        self.stop()
        return {"message": "Application stopping request queued."}

    def _deployment(self, name: str) -> Any:
        found = next((item for item in self.deployments if item["deployment_uuid"] == name), None)
        if found is None:
            return says(404, "Deployment not found.")
        self.advance(found)
        return found

    def _deploy(self) -> Any:
        if sum(map(under_way, self.deployments)) >= self.queue_limit:
            message = "Deployment queue is full. Please wait for existing deployments to complete."
            return httpx.Response(429, headers={"Retry-After": "60"}, json={"message": message})
        name = self.deploy()
        known = any(item["deployment_uuid"] == name for item in self.deployments)
        message = f"Application {self.app['name']} deployment queued." if known else "Deployment already queued"
        message += "" if known else " for this commit."
        return {"deployments": [{"message": message, "resource_uuid": self.uuid, "deployment_uuid": name}]}

    def deploy(self) -> str:
        """What /deploy does: one that is queued or running swallows the next."""
        if any(map(under_way, self.deployments)):
            return "phantom"
        name = f"dep{len(self.deployments) + 1}"
        self.deployments.append({"deployment_uuid": name, "status": "queued", "commit": self.app["git_commit_sha"]})
        return name


def under_way(deployment: dict[str, Any]) -> bool:
    """Whether it has not ended."""
    return deployment["status"] in ("queued", "in_progress")


def _fault(name: str, value: Any) -> str:
    """Why Coolify does not take this of an application."""
    if not FIELDS.fullmatch(name):
        return "This field is not allowed."
    if name == "stop_grace_period" and not 1 <= int(value or 0) <= 3600:
        return "The stop grace period field must not be greater than 3600."
    if name == "build_pack" and value == "dockerimage":
        return "The selected build pack is invalid."
    if name == "health_check_command" and not COMMAND.fullmatch(value):
        return "The health check command field format is invalid."
    return ""
