"""A Coolify whose deployments are containers of a real dockerd, in the order of commands that was recorded.

Queue; build, or take the image that is there; up; poll the health; stop and remove the old, or the new.
"""

from __future__ import annotations

import itertools
import json
import shlex
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import httpx

from sandbox.coolify.daemon import NETWORK
from tests.deploy.coolify.standin import Standin, says

if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox.coolify.daemon import Daemon

RUNNING = '"running"'
_NEEDED = {
    "project_uuid",
    "server_uuid",
    "environment_name",
    "git_repository",
    "git_branch",
    "build_pack",
    "ports_exposes",
}
_PLACES: dict[str, Any] = {
    "/projects": [{"uuid": "prj0", "name": "other"}, {"uuid": "prj1", "name": "perfect"}],
    "/projects/prj0": {"uuid": "prj0", "environments": [{"id": 6, "name": "production"}]},
    "/projects/prj1": {"uuid": "prj1", "environments": [{"id": 7, "name": "staging"}]},
}
"""Of the routes that are not about an application."""
POLL_SECONDS = 0.5
COMMAND_SECONDS = 900
"""Longer than any drain here."""


class DeploymentError(Exception):
    """It is over; the lines of its log say why."""


@dataclass
class Application(Standin):
    """One application. `build`: an image of a commit's target, under a tag; `lies`: what is run in the place of it.

    `moment`: is told each question before it is answered, and after; and each stage of a deployment.
    """

    daemon: Daemon
    build: Callable[[str, str, str], None]
    lies: list[str] = field(default_factory=list)
    moment: Callable[[str], None] = lambda _: None

    # -- as the API has it -------------------------------------------------------------------------------------

    def answer(self, request: httpx.Request) -> httpx.Response:
        """Each question has two moments."""
        ask = f"{request.method} {request.url.path.removeprefix('/api/v1')}"
        self.moment(f"before {ask}")
        found = super().answer(request)
        self.moment(f"after {ask}")
        return found

    def shown(self) -> dict[str, Any]:
        """With what Docker says of its newest container."""
        newest = self.containers()[:1]
        state = self._inspect(newest[0], "json .State") if newest else "{}"
        found = json.loads(state)
        runs = found.get("Status") == "running"
        health = found.get("Health", {}).get("Status", "unknown")
        return {**self.app, "status": f"running:{health}" if runs else "exited:unhealthy"}

    def log(self) -> str | None:
        """Of its newest container, where that runs."""
        newest = self.containers()[:1]
        if not newest or self._inspect(newest[0], "json .State.Status") != RUNNING:
            return None
        return self._said_by(newest[0])

    def stop(self) -> None:
        """Coolify answers at once, and stops it later."""
        threading.Thread(target=self._retire, args=self.containers()).start()

    def deploy(self) -> str:
        """Queued, and begun by a thread of its own."""
        name = super().deploy()
        found = next((item for item in self.deployments if item["deployment_uuid"] == name), None)
        if found is not None:
            found["deployment_uuid"] = name = f"{self.uuid}-{name}"
            threading.Thread(target=self._run, args=(found,)).start()
        return name

    def settled(self) -> bool:
        """Whether no deployment is under way."""
        return all(item["status"] not in ("queued", "in_progress") for item in self.deployments)

    # -- a deployment ------------------------------------------------------------------------------------------

    def _run(self, found: dict[str, Any]) -> None:
        said: list[str] = []
        found["status"] = "in_progress"
        self.moment("in progress")
        try:
            self._roll(found["commit"], said)
            found["status"] = "finished"
        except DeploymentError as error:
            said += ["Deployment failed.", *str(error).splitlines()]
            found["status"] = "failed"
        finally:
            entries = [{"output": line, "type": "stdout", "hidden": False} for line in said]
            found["logs"] = json.dumps(entries)

    def _roll(self, commit: str, said: list[str]) -> None:
        image = self._image(commit)
        new = f"{self.uuid}-{datetime.now(UTC):%H%M%S%f}"
        up = self._up(new, self.lies.pop(0) if self.lies else image, commit)
        self.moment("up")
        if not (up and self._gets_healthy(new, said)):
            said.append(f"Container logs: {self._said_by(new)}")
            self._retire(new)
            raise DeploymentError("New container is not healthy, rolling back to the old container.")
        said.append("Removing old containers.")
        self._retire(*(name for name in self.containers() if name != new))
        said.append("Rolling update completed.")

    def _image(self, commit: str) -> str:
        """Built from the commit, unless it was before; an application of an image has it pulled.

        Raises:
            DeploymentError: there is none.
        """
        if self.app["build_pack"] == "dockerimage":
            image = f"{self.app['docker_registry_image_name']}:{self.app['docker_registry_image_tag']}"
            if self._there(image):
                return image
            raise DeploymentError(f"Failed to start container: manifest for {image} not found")
        image = f"{self.uuid}:{commit}"
        if not self._there(image):
            try:
                self.build(commit, self.app["dockerfile_target_build"], image)
            except Exception as error:
                raise DeploymentError(f"Failed to build: {error}") from error
        return image

    def _there(self, image: str) -> bool:
        return self.daemon.docker("image", "inspect", image, check=False).returncode == 0

    def _up(self, name: str, image: str, commit: str) -> bool:
        """As the compose file has it that Coolify writes."""
        app, given = self.app, {"SOURCE_COMMIT": commit, "COOLIFY_CONTAINER_NAME": name, "HOST": "0.0.0.0"}
        given |= {"COOLIFY_RESOURCE_UUID": self.uuid}
        given |= {item["key"]: item["value"] for item in self.envs if item["is_runtime"] and not item["is_preview"]}
        health = {
            "cmd": app["health_check_command"],
            "interval": f"{app['health_check_interval']}s",
            "timeout": f"{app['health_check_timeout']}s",
            "start-period": f"{app['health_check_start_period']}s",
            "retries": str(app["health_check_retries"]),
        }
        done = self.daemon.docker(
            *("run", "--detach", "--name", name, "--network", NETWORK, "--restart=unless-stopped"),
            *(f"--label=coolify.applicationId={self.uuid}", "--label=coolify.managed=true"),
            *([f"--memory={app['limits_memory']}"] if app.get("limits_memory", "0") != "0" else []),
            *shlex.split(app.get("custom_docker_run_options") or ""),
            *(f"--health-{key}={value}" for key, value in health.items() if app["health_check_enabled"]),
            *(f"--env={key}={value}" for key, value in given.items()),
            *(f"--volume={item['name']}:{item['mount_path']}" for item in self.storages),
            image,
            check=False,
        )
        return done.returncode == 0

    def _gets_healthy(self, name: str, said: list[str]) -> bool:
        """No health check: accepted at once. Else polled for as long as Coolify does, and oftener, which saves time."""
        if not self.app["health_check_enabled"]:
            return True
        polls, interval = self.app["health_check_retries"], self.app["health_check_interval"]
        end = time.monotonic() + self.app["health_check_start_period"] + polls * interval
        while time.monotonic() < end:
            status = self._inspect(name, "json .State.Health.Status").strip('"')
            if status != "starting":
                said.append(f"New container is {status}.")
                return status == "healthy"
            time.sleep(POLL_SECONDS)
        said.append(f'Attempt {polls} of {polls} | Healthcheck status: "starting"')
        return False

    def _retire(self, *names: str) -> None:
        """Within the grace; 30 s is Coolify's own."""
        grace = self.app["settings"]["stop_grace_period"] or 30
        for name in names:
            self.moment(f"stops {name}")
            self.daemon.docker("stop", f"--time={grace}", name, check=False, timeout=COMMAND_SECONDS)
            self.daemon.docker("rm", "--force", "--volumes", name, check=False)

    # -- what there is -----------------------------------------------------------------------------------------

    def containers(self) -> list[str]:
        """By their label, the newest first."""
        mine = f"--filter=label=coolify.applicationId={self.uuid}"
        return self.daemon.docker("ps", "--all", mine, "--format={{.Names}}").stdout.split()

    def _inspect(self, name: str, what: str) -> str:
        return self.daemon.docker("inspect", f"--format={{{{{what}}}}}", name, check=False).stdout.strip() or "{}"

    def _said_by(self, name: str) -> str:
        said = self.daemon.docker("logs", "--tail=100", name, check=False)
        return said.stdout + said.stderr


class Coolify:
    """Several applications behind one address, each known by its uuid, as its deployments are.

    `add`: makes one, as somebody who creates one by the API has it made. `moment`: is told those of all.
    """

    add: Callable[..., Application]

    def __init__(self) -> None:
        """None yet."""
        self.applications: dict[str, Application] = {}
        self.moment: Callable[[str], None] = lambda _: None
        self._numbers = itertools.count(1)

    def take(self, app: Application) -> None:
        """Serve one more."""
        self.applications[app.uuid] = app
        app.moment = self.tell

    def tell(self, now: str) -> None:
        """A moment of any of them."""
        self.moment(now)

    def answer(self, request: httpx.Request) -> httpx.Response:
        """Of the application that is asked about; of any where it is about none."""
        path = request.url.path.removeprefix("/api/v1")
        if path == "/applications/public":
            self.moment(f"before POST {path}")
            created = self._create(json.loads(request.content))
            self.moment(f"after POST {path}")
            return created
        if path in _PLACES:
            return httpx.Response(200, json=_PLACES[path])
        if path == "/servers/srv1/resources":
            found = [item for app in self.applications.values() for item in app.answer(request).json()]
            return httpx.Response(200, json=found)
        words = [*request.url.path.split("/"), request.url.params.get("uuid", "")]
        asked = [item for uuid, item in self.applications.items() if any(word.split("-")[0] == uuid for word in words)]
        if not asked and (request.url.path.endswith("/deploy") or "/applications/" in request.url.path):
            return says(404, "No resources found.")
        return (asked or list(self.applications.values()))[0].answer(request)

    def _create(self, body: dict[str, Any]) -> httpx.Response:
        """One more, which is not deployed; it is where the body says."""
        if missing := sorted(_NEEDED - set(body)):
            errors = {name: [f"The {name} field is required."] for name in missing}
            return says(422, "Validation failed.", errors=errors)
        if (body["project_uuid"], body["environment_name"], body["server_uuid"]) != ("prj1", "staging", "srv1"):
            return says(404, "Not found.")
        destination = {"uuid": body["destination_uuid"], "server": {"uuid": body["server_uuid"]}}
        own = ("name", "description", "git_repository", "git_branch", "git_commit_sha", "build_pack", "ports_exposes")
        uuid = f"created{next(self._numbers)}"
        self.add(uuid, destination=destination, environment_id=7, **{name: body[name] for name in own if name in body})
        return httpx.Response(201, json={"uuid": uuid, "domains": None})
