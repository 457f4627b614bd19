"""Coolify's API as calls with typed answers. No call cancels a deployment, prunes images or deletes an application."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from packaging.version import InvalidVersion, Version
from pydantic import TypeAdapter, ValidationError

from deploy.coolify.answers import (
    Application,
    Created,
    Deployment,
    Project,
    Queued,
    Resource,
    Server,
    Storages,
    Variable,
)
from deploy.coolify.environment import fault
from deploy.coolify.errors import CoolifyError, ExistsError, NotFoundError
from deploy.coolify.transport import Transport
from deploy.onhost.untrusted import printable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from deploy.coolify.environment import Entry

OLDEST = Version("4.2.0")
NOT_RUNNING = 400
# What a preview of a pull request gets in place of a secret: it runs code that nobody has reviewed.
PREVIEW_VALUE = "not-for-previews"


class Client(Transport):
    """One Coolify, by its address and a token. Every call raises `CoolifyError` with a line for the operator."""

    def version(self) -> str:
        """Its version.

        Raises:
            CoolifyError: it is older than 4.2.0, or says no version.
        """
        said = "none"
        try:
            said = printable(str(self.read("/version")), 40)
            found = Version(said)
        except (InvalidVersion, NotFoundError):
            raise CoolifyError(
                f"HUBLAB_COOLIFY_URL: {self.url} is no Coolify: its version is {said!r} -> "
                "write the address at which Coolify's own pages open, without a page's path"
            ) from None
        if found < OLDEST:
            raise CoolifyError(
                f"Coolify {said} cannot be told how long a worker drains (stop_grace_period by API) -> "
                f"update it to {OLDEST} or later: Settings > Update"
            )
        return said

    def servers(self) -> list[Server]:
        """Every server of the token's team."""
        return _list(Server, self.read("/servers"))

    def resources(self, server: str) -> list[Resource]:
        """What runs on one server."""
        return _list(Resource, self.read(f"/servers/{server}/resources"))

    def projects(self) -> list[Project]:
        """Every project, with its environments."""
        found = _list(Project, self.read("/projects"))
        return [_one(Project, self.read(f"/projects/{item.uuid}")) for item in found]

    def application(self, uuid: str) -> Application:
        """One application as it is set.

        Raises:
            NotFoundError: no application of the token's team has the uuid.
        """
        try:
            return _one(Application, self.read(f"/applications/{uuid}"))
        except NotFoundError as error:
            raise NotFoundError(
                f"{uuid!r} is the uuid of no application, or of another team's than the token's -> "
                "`./hublab coolify list` shows them",
                error.status,
            ) from None

    def patch(self, uuid: str, fields: Mapping[str, Any]) -> None:
        """Sets fields of an application; what runs is not touched.

        Raises:
            CoolifyError: refused; another resource has the domain, for one.
        """
        try:
            self.change("PATCH", f"/applications/{uuid}", dict(fields))
        except ExistsError as error:
            raise CoolifyError(
                f"HUBLAB_PUBLIC_URL: another resource of Coolify's has {fields.get('domains')} ({error}) -> "
                "take the domain from that one in Coolify, or give the webhooks another",
                error.status,
            ) from None

    def create(self, kind: str, fields: Mapping[str, Any]) -> str:
        """A new application; returns its uuid.

        Args:
            kind: the last part of the path: public, private-github-app, private-deploy-key or dockerimage.
            fields: what Coolify asks for.
        """
        return _one(Created, self.change("POST", f"/applications/{kind}", dict(fields))).uuid

    def variables(self, uuid: str) -> list[Variable]:
        """The environment of an application, previews' included; without values."""
        return _list(Variable, self.read(f"/applications/{uuid}/envs"))

    def set_variable(self, uuid: str, entry: Entry) -> None:
        """Sets one variable, with every flag: one left out is another default, or Coolify's error 500.

        Raises:
            ValueError: the value cannot be kept by Coolify as it is.
        """
        if why := fault(entry):
            raise ValueError(why)
        path = f"/applications/{uuid}/envs"
        try:
            self.change("POST", path, entry.body())
        except ExistsError:
            self.change("PATCH", path, entry.body())
        if entry.secret:
            try:
                self.change("PATCH", path, entry.body(preview=True) | {"value": PREVIEW_VALUE})
            except NotFoundError:
                return  # no twin for previews was made

    def remove_variable(self, uuid: str, key: str) -> None:
        """Takes one variable away, and before it its twin for previews, which nobody would look for without it."""
        for item in sorted(self.variables(uuid), key=lambda item: not item.is_preview):
            if item.key == key:
                with suppress(NotFoundError):
                    self.change("DELETE", f"/applications/{uuid}/envs/{item.uuid}")

    def volumes(self, uuid: str) -> frozenset[str]:
        """Where an application's containers have volumes, or folders of the host."""
        found = _one(Storages, self.read(f"/applications/{uuid}/storages"))
        return frozenset(item.mount_path for item in (*found.persistent_storages, *found.file_storages))

    def add_volume(self, uuid: str, name: str, path: str) -> None:
        """A volume at a path, where none is; two at one path would start no container."""
        if path not in self.volumes(uuid):
            body = {"type": "persistent", "name": name, "mount_path": path}
            self.change("POST", f"/applications/{uuid}/storages", body)

    def deploy(self, uuid: str) -> Queued:
        """Wishes for a deployment. What it answers may never come to be: ask `deployment` for it.

        Raises:
            BusyError: the queue is full.
        """
        answer = self.change("POST", "/deploy", uuid=uuid)
        found = answer.get("deployments") if isinstance(answer, dict) else None
        if not found:
            raise CoolifyError(f"/deploy: no deployment in Coolify's answer ({printable(str(answer), 120)})")
        return _one(Queued, found[0])

    def deployment(self, uuid: str) -> Deployment | None:
        """One deployment; None where it was never made, or is not kept any more."""
        try:
            return _one(Deployment, self.read(f"/deployments/{uuid}"))
        except NotFoundError:
            return None

    def deployments(self) -> list[Deployment]:
        """Those that are queued or running, of all applications; a list, or an object with a list as its values."""
        answer = self.read("/deployments")
        return _list(Deployment, list(answer.values()) if isinstance(answer, dict) else answer)

    def deployments_of(self, uuid: str, take: int = 10) -> list[Deployment]:
        """The latest deployments of an application, the newest first; a preview of a pull request is none of it."""
        answer = self.read(f"/deployments/applications/{uuid}", take=take)
        found = _list(Deployment, answer.get("deployments", []) if isinstance(answer, dict) else answer)
        return [item for item in found if not item.pull_request_id]

    def logs(self, uuid: str, lines: int = 40) -> str:
        """What the running container of an application says; empty when none runs."""
        try:
            answer = self.read(f"/applications/{uuid}/logs", lines=lines)
        except CoolifyError as error:
            if error.status == NOT_RUNNING:
                return ""
            raise
        return str(answer.get("logs", "")) if isinstance(answer, dict) else str(answer)

    def stop(self, uuid: str) -> None:
        """Stops an application, within its grace period; its images stay."""
        self.change("POST", f"/applications/{uuid}/stop", docker_cleanup="false")


def _one[Kind](kind: type[Kind], answer: Any) -> Kind:
    try:
        return TypeAdapter(kind).validate_python(answer)
    except ValidationError as error:
        (first, *_) = error.errors(include_input=False, include_url=False)
        place = ".".join(map(str, first["loc"]))
        raise CoolifyError(f"Coolify's answer is no {kind.__name__}: {place} {first['msg']}") from None


def _list[Kind](kind: type[Kind], answer: Any) -> list[Kind]:
    if not isinstance(answer, list):
        raise CoolifyError(f"Coolify's answer is no list of {kind.__name__}: {printable(str(answer), 80)}")
    return [_one(kind, item) for item in answer]
