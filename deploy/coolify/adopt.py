"""A container whose worker is a stock one is replaced by an application of ours. Nothing is deleted.

The new application is made where the old one is: its project, environment, server and network. It is deployed and
gated while the old one works on; then the pool's queues are paused until the old worker's runs have ended, and it is
stopped. What was done is noted at Prefect, so that whoever is interrupted goes on by doing it again.
"""

from __future__ import annotations

import secrets
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from deploy.coolify import drain, revision, running, suspect
from deploy.coolify.deployments import AWAY_SECONDS
from deploy.coolify.errors import CoolifyError, NotFoundError, RolloutError, UnclearError
from deploy.coolify.ledger import Ledger
from deploy.coolify.look import look
from deploy.coolify.mover import Mover
from deploy.coolify.plan import make
from deploy.coolify.state import Progress
from deploy.coolify.wanted import DOCKERFILE, kind
from deploy.coolify.words import address
from deploy.onhost.common import counted
from deploy.onhost.lock import Owner

if TYPE_CHECKING:
    from collections.abc import Callable

    from deploy.coolify.answers import Application
    from deploy.coolify.client import Client
    from deploy.coolify.prefect import Prefect
    from deploy.coolify.state import ApplicationState, Revision
    from deploy.spec import WorkerHost

NAME = "hublab-worker"
LOG_LINES = 200
STOP_SECONDS = 180.0
# Coolify asks for one of a git application, though a worker listens at none; nothing is published.
UNUSED_PORT = "8080"


@dataclass(frozen=True)
class Found:
    """The old application: what it is, its worker's name where it has one, and what is wrong with it."""

    app: Application
    worker: str
    faults: tuple[str, ...]
    runs: tuple[str, ...]


class Adoption:
    """One adoption. `wanted`: with the old application's uuid; `see`: what is there of an application."""

    def __init__(  # noqa: PLR0913 - whom it speaks to, and its time
        self,
        wanted: WorkerHost,
        coolify: Client,
        prefect: Prefect,
        say: Callable[[str], None],
        *,
        see: Callable[[WorkerHost, Client, Prefect], ApplicationState] = look,
        here: Callable[[], Revision] = revision.revision,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self.wanted, self.coolify, self.prefect, self.say = wanted, coolify, prefect, say
        self._see, self._here, self._sleep = see, here, sleep
        self.ledger = Ledger(prefect, wanted.application)

    def find(self) -> Found:
        """The old application and its faults; nothing is changed.

        Raises:
            RolloutError: it is none that may be stopped for this.
        """
        self.coolify.version()
        app = self.coolify.application(self.wanted.application)
        there = self.coolify.variables(app.uuid)
        variables = {item.key for item in there}
        text = "\n".join((app.docker_compose_raw, app.start_command, self.coolify.logs(app.uuid, LOG_LINES)))
        if any(item.marked for item in there):
            raise RolloutError(
                f"{app.name or app.uuid}: a deploy of this project has set it up -> "
                "name it in HUBLAB_HOSTS or HUBLAB_WEBHOOKS, and `./hublab deploy`"
            )
        if "prefect" not in "\n".join((text, *variables)).lower():
            raise RolloutError(
                f"{app.name or app.uuid}: its compose file, start command, log and environment name no Prefect, and it "
                "would be stopped -> is it the right uuid? `./hublab coolify list` shows them; a worker that hides it "
                "so is stopped in Coolify, beside an application of its own in HUBLAB_HOSTS"
            )
        compose = app.build_pack == "dockercompose"
        found = suspect.faults(text, variables, app.settings.stop_grace_period, compose=compose)
        known = {str(item["name"]) for item in running.listed(self.prefect, self.wanted.work_pool)}
        worker = suspect.worker_name(text, known)
        runs = drain.in_flight(self.prefect, self.wanted.work_pool, worker)
        return Found(app, worker, tuple(found), tuple(runs))

    def run(self, found: Found, who: str, by: str = "") -> str:
        """All of it; the uuid of the application that took over.

        Args:
            found: what `find` said.
            who: for lock and history.
            by: an application that was made by hand for this; empty: it is made.

        Raises:
            RolloutError: it did not come to its end; the old one works on.
            CoolifyError, LockError, OSError: likewise.
        """
        owner = Owner(who, f"adoption of {found.app.name or found.app.uuid}")
        self.ledger.take(secrets.token_hex(8), owner)
        progress = self.ledger.adoption()
        try:
            if progress.paused:
                self._resume(progress)
            new = by or self._there(progress.new) or self._new(found.app, progress.name)
            self.ledger.note_adoption(Progress(new))
            self._deploy(new, who)
            self._retire(found, new)
        finally:
            with suppress(OSError):  # its lease ends by itself
                self.ledger.release()
        return new

    def _there(self, noted: str) -> str:
        """The one that was made before, unless somebody has deleted it."""
        with suppress(NotFoundError):
            return self.coolify.application(noted).uuid if noted else ""
        return ""

    def _new(self, old: Application, noted: str) -> str:
        """An application in its place; one that was made just before a cut is known by its name alone."""
        for item in self.coolify.resources(old.destination.server.uuid) if noted else ():
            if (item.type, item.name) == ("application", noted):
                return item.uuid
        name = f"{NAME}-{secrets.token_hex(4)}"
        self.ledger.note_adoption(Progress(name=name))
        return self._create(old, name)

    def _create(self, old: Application, name: str) -> str:
        project, environment = self._place(old)
        where = {
            "project_uuid": project,
            "environment_name": environment,
            "server_uuid": old.destination.server.uuid,
            "destination_uuid": old.destination.uuid,
            "name": name,
            "description": f"Takes the place of {old.name or old.uuid}",
        }
        image, tag = self.wanted.coolify.image if self.wanted.coolify else ("", "")
        if image:
            kind, more = "dockerimage", {"docker_registry_image_name": image, "docker_registry_image_tag": tag}
        else:
            kind, more = "public", self._repository()
        new = self.coolify.create(kind, {**where, **more, "autogenerate_domain": False, "instant_deploy": False})
        self.say(f"application {new} is made beside it, in environment {environment}")
        return new

    def _repository(self) -> dict[str, Any]:
        here = self._here()
        if not here.remote.startswith("https://"):
            raise RolloutError(
                f"this checkout's remote is {address(here.remote) or 'not there'}, and Coolify reads https:// alone "
                "without a key -> make an application with it in Coolify (build pack Dockerfile) and name it: "
                f"./hublab coolify adopt {self.wanted.application} --by <its uuid>"
            )
        return {
            "git_repository": here.remote,
            "git_branch": here.branch or "main",
            "git_commit_sha": here.commit,
            "build_pack": "dockerfile",
            "dockerfile_location": DOCKERFILE,
            "dockerfile_target_build": kind(self.wanted).target,
            "ports_exposes": UNUSED_PORT,
        }

    def _place(self, old: Application) -> tuple[str, str]:
        for project in self.coolify.projects():
            for environment in project.environments:
                if environment.id == old.environment_id:
                    return project.uuid, environment.name
        raise RolloutError(f"no project of this token's team has the environment of {old.uuid}")

    def _deploy(self, new: str, who: str) -> None:
        """As a deploy of it alone would."""
        wanted = replace(self.wanted, address=f"coolify:{new}", application=new)
        mover = Mover(wanted, self.coolify, self.prefect, self.say, sleep=self._pause)
        mover.take_lock(secrets.token_hex(8), Owner(who, f"adoption in place of {self.wanted.application}"))
        try:
            state = self._see(wanted, self.coolify, self.prefect)
            plan = make(wanted, state)
            for problem in plan.problems:
                raise RolloutError(f"{new}: {problem}")
            if plan.reasons:
                mover.move(plan, state, who)
            mover.commit(plan)
        finally:
            with suppress(OSError):
                mover.ledger.release()

    def _retire(self, found: Found, new: str) -> None:
        """The old worker's runs end, then it is stopped."""
        pool = self.wanted.work_pool
        progress = Progress(new, tuple(drain.open_queues(self.prefect, pool)))
        self.ledger.note_adoption(progress)  # before: whoever is interrupted opens them again
        whose = f"of {found.worker}" if found.worker else "of all workers that are none of ours"
        self.say(
            f"queues {', '.join(progress.paused) or 'none'} of pool {pool} are paused until the runs {whose} have ended"
        )
        try:
            drain.pause(self.prefect, pool, progress.paused)
            left = drain.wait(self.prefect, pool, found.worker, self.wanted.drain_seconds, self._pause)
            if left:
                raise RolloutError(
                    f"{counted(len(left), 'run of the old worker is', 'runs of the old worker are')} still in flight "
                    f"after {self.wanted.drain_seconds} s ({', '.join(left[:5])}); "
                    "it works on beside the new one -> do it again when they have ended; one that a worker left which "
                    "is long gone stays Running for ever: change its state in Prefect to Crashed first"
                )
            self._stop(found.app)
        finally:
            self._resume(progress)

    def _stop(self, old: Application) -> None:
        """Stopped before a queue is open again: until then it would take a run and be killed with it.

        Raises:
            RolloutError: it still runs.
        """
        with suppress(UnclearError):  # it may have been done: its status says so
            self.coolify.stop(old.uuid)
        waited = 0.0
        while not (status := self._status(old)).startswith("exited"):
            if waited > STOP_SECONDS:
                raise RolloutError(f"{old.name or old.uuid} was told to stop and is {status} -> stop it in Coolify")
            self._pause(drain.LOOK_SECONDS)
            waited += drain.LOOK_SECONDS
        self.say(f"{old.name or old.uuid} is stopped; nothing of it is deleted")

    def _status(self, old: Application) -> str:
        """As Coolify has it; one that is away for a while says none."""
        try:
            return self.coolify.application(old.uuid).status
        except CoolifyError as error:
            if not error.passing:
                raise
            return "nowhere to be seen"

    def _resume(self, progress: Progress) -> None:
        """Opened again, also by a Prefect that is away for a while: nobody begins a run before that.

        Raises:
            RolloutError: it stays away.
        """
        waited, names = 0.0, ", ".join(progress.paused) or "none"
        while True:
            try:
                drain.resume(self.prefect, self.wanted.work_pool, progress.paused)
                self.ledger.note_adoption(replace(progress, paused=()))
                break
            except OSError as error:
                if waited > AWAY_SECONDS:
                    raise RolloutError(
                        f"queues {names} of pool {self.wanted.work_pool} are still paused, and Prefect does not answer "
                        f"({error}) -> do it again when it does, or open them there"
                    ) from None
            self._pause(drain.LOOK_SECONDS)
            waited += drain.LOOK_SECONDS
        self.say(f"queues {names} are open again")

    def _pause(self, seconds: float) -> None:
        self._sleep(seconds)
        with suppress(OSError):  # while Prefect is away, nobody else takes the lock
            self.ledger.refresh()
