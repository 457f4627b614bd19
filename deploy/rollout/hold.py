"""lock: nobody else changes these hosts until this run has ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyinfra import logger
from pyinfra.api import FunctionCommand, operation

from deploy.rollout.report import announce

if TYPE_CHECKING:
    from collections.abc import Generator

    from pyinfra.api import Host, State
    from pyinfra.api.command import PyinfraCommand

    from deploy.rollout.activate import Rollout
    from deploy.rollout.member import Member


@operation()
def hold(member: Member, rollout: Rollout) -> Generator[PyinfraCommand, None, None]:
    """Takes the host's lock before the first change; yields nothing when there is nothing to change."""
    if member.plan.changes:
        yield FunctionCommand(take_hold, (member, rollout), {})


def take_hold(state: State, host: Host, member: Member, rollout: Rollout) -> bool:  # noqa: ARG001 - pyinfra's signature
    """Locks, then looks again: who held the lock before may have changed the host since the plan was made."""
    owner = {"who": rollout.who, "what": f"{rollout.what} of release {member.plan.release}"}
    if not member.lock(rollout.token, owner):
        return False
    shown = member.plan
    member.look_again(kept=rollout.kept)
    if member.plan.problems or member.plan != shown:
        logger.warning("%sthe host has changed since the plan was made; it is now:", host.print_prefix)
        announce(member)
    return not member.plan.problems
