"""One application's way to its plan, and back. Knows no pyinfra.

Coolify keeps the old container while the new one's health check, which is the gate, has not passed. So a deployment
that fails leaves what served; one that is said to have finished is believed when the worker that runs says so itself.
"""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from deploy.coolify import running, words
from deploy.coolify.deployments import LOOK_SECONDS, Deployments, somebodys
from deploy.coolify.errors import RolloutError
from deploy.coolify.ledger import LEASE_SECONDS, Ledger, LockError
from deploy.coolify.state import Before, Kept, Running
from deploy.coolify.wanted import VOLUME, kind, present

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from deploy.coolify.answers import Deployment
    from deploy.coolify.client import Client
    from deploy.coolify.plan import ApplicationPlan
    from deploy.coolify.prefect import Prefect
    from deploy.coolify.state import ApplicationState
    from deploy.onhost.lock import Owner
    from deploy.spec import WorkerHost


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
        self.deployments = Deployments(self.uuid, coolify, self.ledger, say, self._pause, clock)
        self._patiently = self.deployments.patiently

    # -- there -------------------------------------------------------------------------------------------------

    def move(self, plan: ApplicationPlan, state: ApplicationState, who: str) -> None:
        """Records what is, sets what is wanted, deploys, follows, and asks the worker that runs then.

        Raises:
            RolloutError: it did not come to its end; what served is recorded, for `undo`.
            CoolifyError, LockError, OSError: likewise.
        """
        self.keep_lock()
        ended = self.deployments.settle(state.before)
        if ended and ended.status == "finished" and _is_of(ended, plan, state):
            self._confirm(ended.deployment_uuid, plan.expected, ())
            return
        before = state.before or _before(state, plan)
        before = replace(before, to=plan.release, who=who, at=self.ledger.now(), deployment="")
        self.ledger.open(before)
        self._set(plan)
        names = {worker.name for worker in self.workers()}
        self._pass(self.deployments.start(before), plan.expected, names)

    def _set(self, plan: ApplicationPlan) -> None:
        for entry in plan.entries:
            self._patiently(lambda entry=entry: self.coolify.set_variable(self.uuid, entry))  # type: ignore[misc]
        for key in plan.surplus:
            self._patiently(lambda key=key: self.coolify.remove_variable(self.uuid, key))  # type: ignore[misc]
        if plan.volume:
            self._patiently(lambda: self.coolify.add_volume(self.uuid, VOLUME, plan.volume))
        self._patiently(lambda: self.coolify.patch(self.uuid, plan.fields))

    def _pass(self, deployment: str, expected: Collection[str], names: Collection[str]) -> None:
        """The end of a deployment, and the proof that the wanted worker runs; of a stranger's, its end alone.

        Raises:
            RolloutError: it failed, or another worker runs.
        """
        ended = self.deployments.follow(deployment)
        if ended.status != "finished":
            for line in words.log(ended.logs, self._secrets()):
                self.say(f"  {line}")
            passed = any(worker.release for worker in self._fresh(names))
            if passed:
                raise RolloutError(
                    f"its deployment {deployment} is {ended.status}, after the new worker had passed its gate -> "
                    "was it cancelled, or was its time up? Look at it in Coolify"
                )
            raise RolloutError(f"its deployment {deployment} is {ended.status}; what served before serves on")
        if expected:
            self._confirm(deployment, expected, names)

    def _confirm(self, deployment: str, expected: Collection[str], names: Collection[str]) -> None:
        """What Coolify calls finished is believed when a worker that was not there says the wanted release.

        Raises:
            RolloutError: it says another, or there is none in the time of the gate.
        """
        deadline = self._clock() + self.wanted.gate_seconds
        while True:
            fresh = self._fresh(names)
            if other := self.deployments.other(deployment):
                raise RolloutError(somebodys(other))
            if fresh and fresh[0].release in expected:
                self.say(f"{fresh[0].name}: {kind(self.wanted).up}, release {fresh[0].release}")
                return
            if self._clock() > deadline or (fresh and fresh[0].release):
                break
            self._pause(LOOK_SECONDS)
        runs = f"the new one {kind(self.wanted).down}"
        if fresh:
            runs = f"{fresh[0].name} runs release {fresh[0].release or 'unknown'}"
        raise RolloutError(f"Coolify says that deployment {deployment} has finished, and {runs}")

    def _fresh(self, names: Collection[str]) -> list[Running]:
        """Those ONLINE that were not there before, the newest first; none where nobody says it just then."""
        with suppress(OSError):
            return [worker for worker in newest(self.workers()) if worker.name not in names]
        return []

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
        ended = self.deployments.settle(before)
        if ended is None and before.deployment:
            ended = self._patiently(lambda: self.coolify.deployment(before.deployment))
        fields = {key: value for key, value in before.fields.items() if value or value is False}
        self._patiently(lambda: self.coolify.patch(self.uuid, fields))
        taken_over = self._is_taken_over(before, ended)
        if taken_over and not before.ran:
            self._patiently(lambda: self.coolify.stop(self.uuid))
        elif before.ran and (taken_over or not self._serves(before)):
            names = {worker.name for worker in self.workers()}
            back = replace(before, to=before.source, deployment="")
            self.ledger.open(back)
            self._pass(self.deployments.start(back), {before.release} - {""}, names)
        self.ledger.close()

    def _is_taken_over(self, before: Before, ended: Deployment | None) -> bool:
        """Whether a new worker has passed its gate: Coolify stops the old one then, whatever it says at the end."""
        began = datetime.fromisoformat(before.at)
        return (ended is not None and ended.status == "finished") or any(
            worker.release and worker.created and datetime.fromisoformat(worker.created) >= began
            for worker in newest(self.workers())
        )

    def _serves(self, before: Before) -> bool:
        """Whether what was before still runs."""
        return not before.release or any(item.online and item.release == before.release for item in self.workers())

    # -- the end -----------------------------------------------------------------------------------------------

    def commit(self, plan: ApplicationPlan) -> None:
        """What runs now becomes what served; the rollout is closed.

        Raises:
            LockError, OSError: it could not be written.
        """
        self.keep_lock()
        workers = self.workers()
        found = [worker for worker in newest(workers) if worker.release in plan.expected]
        self.ledger.keep(Kept(plan.release, found[0].release if found else "", dict(plan.fields)))
        self.ledger.close()
        for worker in running.gone(workers):
            running.forget(self.prefect, self.wanted.work_pool, worker.name)

    def workers(self) -> tuple[Running, ...]:
        """What runs of the application."""
        return running.of(self.wanted, self.prefect, self.coolify)

    def take_lock(self, token: str, owner: Owner) -> str:
        """Takes the lock as `Ledger.take` does; its lease begins now, however long ago the plan was made."""
        taken = self.ledger.take(token, owner)
        self._seen = self._clock()
        return taken

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
    ran = bool(state.online) or not state.app.status.startswith("exited")  # Coolify's word may be a minute old
    fields = present(state.app, list(plan.fields))
    return Before(source=state.app.source, release=state.release, fields=fields, ran=ran)


def _is_of(ended: Deployment, plan: ApplicationPlan, state: ApplicationState) -> bool:
    """Whether a deployment of a rollout that was cut off has brought all that is wanted now."""
    noted = state.before is not None and state.before.deployment == ended.deployment_uuid
    there = present(state.app, list(plan.fields)) if state.app else {}
    return noted and not (plan.entries or plan.surplus) and there == dict(plan.fields)
