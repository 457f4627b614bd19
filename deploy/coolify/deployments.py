"""An application's deployments: whose one is, a new one, and the end of one. What belongs to others is left alone."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from deploy.coolify.errors import BusyError, CoolifyError, RolloutError, UnclearError

if TYPE_CHECKING:
    from collections.abc import Callable

    from deploy.coolify.answers import Deployment
    from deploy.coolify.client import Client
    from deploy.coolify.ledger import Ledger
    from deploy.coolify.state import Before

LOOK_SECONDS = 5.0
TRIES = 4
LONGEST_PAUSE_SECONDS = 120.0
# More than Coolify lets a deployment take; who meets it has hung.
FOLLOW_SECONDS = 2 * 3600.0
# Coolify updates itself, and what it has begun on a host goes on meanwhile.
AWAY_SECONDS = 600.0
# What Coolify says in place of a commit where it runs an image.
NO_COMMIT = "HEAD"


def is_ours(item: Deployment, before: Before | None) -> bool:
    """Whether a rollout that was cut off has begun this deployment. Pure.

    Whoever was killed between Coolify's answer and the note of it left a deployment that its commit alone tells.
    """
    if before is None:
        return False
    if before.deployment:
        return item.deployment_uuid == before.deployment
    return item.commit in {before.to, NO_COMMIT}


def somebodys(other: Deployment) -> str:
    """What is said of a deployment that is not ours."""
    return (
        f"somebody else's deployment {other.deployment_uuid} is {other.status}; it is left alone: "
        "wait for its end and deploy again"
    )


@dataclass
class Deployments:
    """Those of one application. `pause`: sleeps, and keeps the lock; `clock`: in seconds."""

    uuid: str
    coolify: Client
    ledger: Ledger
    say: Callable[[str], None]
    pause: Callable[[float], None]
    clock: Callable[[], float]

    def latest(self) -> list[Deployment]:
        """The newest first."""
        return self.patiently(lambda: self.coolify.deployments_of(self.uuid))

    def other(self, ours: str) -> Deployment | None:
        """One that is under way beside ours."""
        return next((item for item in self.latest() if item.running and item.deployment_uuid != ours), None)

    def settle(self, before: Before | None) -> Deployment | None:
        """Waits for what an interrupted rollout of ours has begun, and returns that; another's is left alone.

        Raises:
            RolloutError: there is one.
        """
        ended = None
        for item in self.latest():
            if item.running and is_ours(item, before):
                name = item.deployment_uuid
                self.say(f"deployment {name} of a rollout that was cut off goes on; waiting for its end")
                ended = self.follow(name)
            elif item.running:
                raise RolloutError(somebodys(item))
        return ended

    def start(self, before: Before) -> str:
        """A deployment that exists; its uuid, which is noted at once: whoever comes next knows it for ours.

        Raises:
            RolloutError: Coolify made none, or another's came first.
        """
        known, unclear = {item.deployment_uuid for item in self.latest()}, False
        for _ in range(TRIES):
            pause, queued = LOOK_SECONDS, ""
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
                self.pause(LOOK_SECONDS)
            if queued and self.patiently(lambda name=queued: self.coolify.deployment(name)):  # type: ignore[misc]
                return queued
            new = [item for item in self.latest() if item.deployment_uuid not in known]
            if new and unclear:
                self.ledger.open(replace(before, deployment=new[0].deployment_uuid))
                return new[0].deployment_uuid
            if other := next((item for item in new if item.running), None):
                raise RolloutError(somebodys(other))
            self.pause(pause)
        raise RolloutError(f"Coolify made no deployment, asked {TRIES} times; look at its queue of deployments")

    def follow(self, name: str) -> Deployment:
        """One as it is when it has ended.

        Raises:
            RolloutError: it is not there any more, or does not end.
        """
        deadline, told = self.clock() + FOLLOW_SECONDS, ""
        while True:
            found = self.patiently(lambda: self.coolify.deployment(name))
            if found is None:
                raise RolloutError(f"deployment {name} is not there any more; look at Coolify")
            if found.status != told:
                told = found.status
                self.say(f"deployment {name} is {told}")
            if not found.running:
                return found
            if self.clock() > deadline:
                raise RolloutError(f"deployment {name} is still {told} after {FOLLOW_SECONDS:.0f} s")
            self.pause(LOOK_SECONDS)

    def patiently[Answer](self, question: Callable[[], Answer]) -> Answer:
        """What Coolify answers, who may be away or busy for a while; what it may have done is asked for once more.

        Raises:
            CoolifyError: refused, or away or busy for too long.
        """
        deadline = 0.0
        while True:
            try:
                return question()
            except CoolifyError as error:
                pause = error.seconds if isinstance(error, BusyError) else LOOK_SECONDS
                first = not deadline
                deadline = deadline or self.clock() + AWAY_SECONDS
                if not error.passing or self.clock() + pause > deadline:
                    raise
                if first:
                    self.say(f"{error}; waiting for it, {AWAY_SECONDS / 60:.0f} min at the most")
            self.pause(pause)
