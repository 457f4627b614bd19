"""One application's way to its plan, and back. Knows no pyinfra.

Coolify keeps the old container while the new one's health check, which is the gate, has not passed. So a deployment
that fails leaves what served; one that is said to have finished is believed when the worker that runs says so itself.
"""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from deploy.coolify import running, words
from deploy.coolify.errors import BusyError, UnclearError
from deploy.coolify.ledger import LEASE_SECONDS, Ledger, LockError
from deploy.coolify.state import Before, Kept, Running
from deploy.coolify.wanted import present

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from deploy.coolify.answers import Deployment
    from deploy.coolify.client import Client
    from deploy.coolify.plan import ApplicationPlan
    from deploy.coolify.prefect import Prefect
    from deploy.coolify.state import ApplicationState
    from deploy.spec import WorkerHost

LOOK_SECONDS = 5.0
TRIES = 4
LONGEST_PAUSE_SECONDS = 120.0
# More than Coolify lets a deployment take; who meets it has hung.
FOLLOW_SECONDS = 2 * 3600.0


class RolloutError(RuntimeError):
    """A step was not done; the message says why, and what became of it."""


class Mover:
    """Moves one application. `say`: a line to the operator; `sleep` and `clock`: in seconds."""

    def __init__(  # noqa: PLR0913 - whom it speaks to, and its time
        self,
        wanted: WorkerHost,
        coolify: Client,
        prefect: Prefect,
        say: Callable[[str], None],
        *,
        sleep: Callable[[float], object] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.wanted, self.coolify, self.prefect, self.say = wanted, coolify, prefect, say
        self._sleep, self._clock = sleep, clock
        self.uuid = wanted.application
        self.ledger = Ledger(prefect, self.uuid)
        self._seen = clock()

    # -- there -------------------------------------------------------------------------------------------------

    def move(self, plan: ApplicationPlan, state: ApplicationState, who: str) -> None:
        """Records what is, sets what is wanted, deploys, follows, and asks the worker that runs then.

        Raises:
            RolloutError: it did not come to its end; what served is recorded, for `undo`.
            CoolifyError, LockError, OSError: likewise.
        """
        self.keep_lock()
        self._settle(state.before)
        before = state.before or _before(state, plan)
        before = replace(before, to=plan.release, who=who, at=self.ledger.now(), deployment="")
        self.ledger.open(before)
        self._set(plan)
        names = {worker.name for worker in self.workers()}
        self._pass(self._deploy(before), plan.expected, names)

    def _set(self, plan: ApplicationPlan) -> None:
        for entry in plan.entries:
            self.coolify.set_variable(self.uuid, entry)
        self.coolify.patch(self.uuid, plan.fields)

    def _settle(self, before: Before | None) -> None:
        """Waits for what an interrupted rollout of ours has begun; another's deployment is left alone.

        Raises:
            RolloutError: there is one.
        """
        for item in self.coolify.deployments_of(self.uuid):
            if item.running and before and item.deployment_uuid == before.deployment:
                self.say(
                    f"deployment {item.deployment_uuid} of a rollout that was cut off goes on; waiting for its end"
                )
                self._follow(item.deployment_uuid)
            elif item.running:
                raise RolloutError(_somebody(item))

    def _deploy(self, before: Before) -> str:
        """A deployment that exists; its uuid, which is noted at once: whoever comes next knows it for ours.

        Raises:
            RolloutError: Coolify made none, or another's came first.
        """
        known = {item.deployment_uuid for item in self.coolify.deployments_of(self.uuid)}
        for _ in range(TRIES):
            pause, queued, unclear = LOOK_SECONDS, "", False
            try:
                queued = self.coolify.deploy(self.uuid).deployment_uuid
                self.ledger.open(replace(before, deployment=queued))
            except BusyError as error:
                if error.seconds > LONGEST_PAUSE_SECONDS:
                    raise
                pause = error.seconds
                self.say(f"{error}; waiting")
            except UnclearError as error:
                self.say(f"{error}; looking")
                unclear = True
                self._pause(LOOK_SECONDS)
            if queued and self.coolify.deployment(queued):
                return queued
            new = [item for item in self.coolify.deployments_of(self.uuid) if item.deployment_uuid not in known]
            if new and unclear:
                self.ledger.open(replace(before, deployment=new[0].deployment_uuid))
                return new[0].deployment_uuid
            if other := next((item for item in new if item.running), None):
                raise RolloutError(_somebody(other))
            self._pause(pause)
        raise RolloutError(f"Coolify made no deployment, asked {TRIES} times; look at its queue of deployments")

    def _pass(self, deployment: str, expected: Collection[str], names: Collection[str]) -> None:
        """The end of a deployment, and the proof that the wanted worker runs; of a stranger's, its end alone.

        Raises:
            RolloutError: it failed, or another worker runs.
        """
        ended = self._follow(deployment)
        if ended.status != "finished":
            for line in words.log(ended.logs, self._secrets()):
                self.say(f"  {line}")
            raise RolloutError(f"its deployment {deployment} is {ended.status}; the old worker serves on")
        if expected:
            self._confirm(deployment, expected, names)

    def _follow(self, deployment: str) -> Deployment:
        deadline, told = self._clock() + FOLLOW_SECONDS, ""
        while True:
            found = self.coolify.deployment(deployment)
            if found is None:
                raise RolloutError(f"deployment {deployment} is not there any more; look at Coolify")
            if found.status != told:
                told = found.status
                self.say(f"deployment {deployment} is {told}")
            if not found.running:
                return found
            if self._clock() > deadline:
                raise RolloutError(f"deployment {deployment} is still {told} after {FOLLOW_SECONDS:.0f} s")
            self._pause(LOOK_SECONDS)

    def _confirm(self, deployment: str, expected: Collection[str], names: Collection[str]) -> None:
        """What Coolify calls finished is believed when a worker that was not there says the wanted release."""
        deadline, fresh = self._clock() + self.wanted.gate_seconds, list[Running]()
        while True:
            with suppress(OSError):  # Prefect is asked again
                fresh = [worker for worker in newest(self.workers()) if worker.name not in names]
            if other := self._other(deployment):
                raise RolloutError(_somebody(other))
            if fresh and fresh[0].release in expected:
                self.say(f"{fresh[0].name} is ONLINE with release {fresh[0].release}")
                return
            if self._clock() > deadline:
                break
            self._pause(LOOK_SECONDS)
        runs = (
            f"its worker {fresh[0].name} runs release {fresh[0].release or 'unknown'}"
            if fresh
            else "no new worker is ONLINE"
        )
        raise RolloutError(f"Coolify says that deployment {deployment} has finished, and {runs}")

    def _other(self, ours: str) -> Deployment | None:
        found = self.coolify.deployments_of(self.uuid)
        return next((item for item in found if item.running and item.deployment_uuid != ours), None)

    # -- back --------------------------------------------------------------------------------------------------

    def undo(self) -> None:
        """Brings back what was before the rollout that is open; nothing where none is.

        Raises:
            RolloutError: not all of it came back.
            CoolifyError, LockError, OSError: likewise.
        """
        before = self.ledger.before()
        if before is None:
            return
        self.keep_lock()
        self._settle(before)
        ended = self.coolify.deployment(before.deployment) if before.deployment else None
        self.coolify.patch(self.uuid, {key: value for key, value in before.fields.items() if value or value is False})
        if ended is not None and ended.status == "finished" and not before.ran:
            self.coolify.stop(self.uuid)
        elif before.ran and not self._serves(before, ended):
            names = {worker.name for worker in self.workers()}
            self._pass(self._deploy(before), {before.release} - {""}, names)
        self.ledger.close()

    def _serves(self, before: Before, ended: Deployment | None) -> bool:
        """Whether what was before still runs: the new one never took over."""
        if ended is not None and ended.status == "finished":
            return False
        return not before.release or any(item.online and item.release == before.release for item in self.workers())

    # -- the end -----------------------------------------------------------------------------------------------

    def commit(self, plan: ApplicationPlan) -> None:
        """What runs now becomes what served; the rollout is closed.

        Raises:
            LockError, OSError: it could not be written.
        """
        self.keep_lock()
        found = [worker for worker in newest(self.workers()) if worker.release in plan.expected]
        self.ledger.keep(Kept(plan.release, found[0].release if found else "", dict(plan.fields)))
        self.ledger.close()

    def workers(self) -> tuple[Running, ...]:
        """The application's workers at Prefect."""
        return running.workers(self.prefect, self.wanted.work_pool, self.uuid)

    def keep_lock(self) -> None:
        """A sign of life; an API that is away for less than the lease changes nothing.

        Raises:
            LockError: the lock is not ours any more, or nobody can say that it is.
        """
        try:
            self.ledger.refresh()
            self._seen = self._clock()
        except OSError as error:
            if self._clock() - self._seen > LEASE_SECONDS:
                raise LockError(f"Prefect does not answer ({error}): nobody knows whose the lock is") from None

    def _pause(self, seconds: float) -> None:
        self._sleep(seconds)
        self.keep_lock()

    def _secrets(self) -> Iterable[str]:
        known = (self.wanted.auth_string, self.wanted.api_key, self.wanted.coolify and self.wanted.coolify.token)
        return [secret.reveal() for secret in known if secret]


def newest(workers: Iterable[Running]) -> list[Running]:
    """Those that are ONLINE, the newest first."""
    return sorted((worker for worker in workers if worker.online), key=lambda worker: worker.created, reverse=True)


def _before(state: ApplicationState, plan: ApplicationPlan) -> Before:
    if state.app is None:
        raise RolloutError("the application was not looked at")
    ran = not state.app.status.startswith("exited")
    fields = present(state.app, list(plan.fields))
    return Before(source=state.app.source, release=state.release, fields=fields, ran=ran)


def _somebody(other: Deployment) -> str:
    return (
        f"somebody else's deployment {other.deployment_uuid} is {other.status}; it is left alone: "
        "wait for its end and deploy again"
    )
