"""What is there of one application: at Coolify, at Prefect, and in the checkout. Pure; `look.py` asks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from deploy.coolify.answers import Application, Deployment, Server, Variable
    from deploy.onhost.record import Line


@dataclass(frozen=True)
class Revision:
    """The checkout: its commit, what of it is not committed, whether a remote has it, where that is, and the branch.

    `remote`: as git has it, maybe with a token. `folder`: where in its repository it lies; empty for all of it.
    """

    commit: str = ""
    changed: tuple[str, ...] = ()
    pushed: bool = False
    remote: str = ""
    branch: str = ""
    folder: str = ""
    # Campaign files of HUBLAB_CAMPAIGNS: they lie outside of the repository, so no build of Coolify's has them.
    extra: tuple[str, ...] = ()
    packages: int = 0  # of HUBLAB_EXTRA_REQUIREMENTS, which lies outside as well


@dataclass(frozen=True)
class Running:
    """A worker of the application as Prefect knows it: `release` is what its last probe run says it carries."""

    name: str
    online: bool
    release: str = ""
    created: str = ""


@dataclass(frozen=True)
class Before:
    """What an application was before a rollout that has not ended; kept at Prefect, since Coolify keeps nothing."""

    source: str
    release: str
    fields: Mapping[str, Any]
    ran: bool
    to: str = ""
    deployment: str = ""
    who: str = ""
    at: str = ""


@dataclass(frozen=True)
class Kept:
    """A source that has served: the settings that it had, and the release that its worker said it carries."""

    source: str
    release: str
    fields: Mapping[str, Any]


@dataclass(frozen=True)
class Progress:
    """How far an adoption has come: the new application, the name that it is made by, and the queues it has paused."""

    new: str = ""
    paused: tuple[str, ...] = ()
    name: str = ""


@dataclass(frozen=True)
class ApplicationState:
    """All that the plan needs to know of one application.

    `problem`: why it could not be looked at, with the remedy behind an arrow. `lock`: who holds it, in words.
    `kept`: what has served, the latest first. `releases`: the ids that this checkout has, whatever Python an image is
    built with. `deployments`: the latest first. `others`: the workers ONLINE in its pool that are not its own.
    `api_open`: Prefect's server answers without a credential.
    """

    problem: str = ""
    version: str = ""
    app: Application | None = None
    server: Server | None = None
    variables: tuple[Variable, ...] = ()
    deployments: tuple[Deployment, ...] = ()
    volumes: frozenset[str] = frozenset()
    running: tuple[Running, ...] = ()
    before: Before | None = None
    kept: tuple[Kept, ...] = ()
    deploys: tuple[Line, ...] = ()
    lock: str = ""
    lock_orphaned: bool = False
    revision: Revision = field(default_factory=Revision)
    releases: frozenset[str] = frozenset()
    api_open: bool = False
    others: frozenset[str] = frozenset()

    @property
    def online(self) -> tuple[Running, ...]:
        """The workers that Prefect believes to be online, the newest first."""
        found = (worker for worker in self.running if worker.online)
        return tuple(sorted(found, key=lambda worker: worker.created, reverse=True))

    @property
    def release(self) -> str:
        """The release that serves; empty where nobody says. A container that passed no gate has said none."""
        return next((item.release for item in self.online if item.release), "")

    @property
    def current(self) -> str | None:
        """The source of record: what the last rollout that ended left."""
        return self.kept[0].source if self.kept else None

    @property
    def arrived(self) -> bool:
        """Whether the last deployment of a rollout that was cut off had finished: what it had set is what runs."""
        noted = self.before.deployment if self.before else ""
        return any(item.deployment_uuid == noted and item.status == "finished" for item in self.deployments)
