"""lock: nobody else changes these hosts until this run has ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyinfra import logger
from pyinfra.api import DeployError, FunctionCommand, operation

from deploy.onhost.lock import Owner
from deploy.rollout.once import side_by_side
from deploy.rollout.report import announce

if TYPE_CHECKING:
    from collections.abc import Generator

    from pyinfra.api import Host, State
    from pyinfra.api.command import PyinfraCommand

    from deploy.rollout.activate import Rollout
    from deploy.rollout.members import AnyMember


@operation()
def hold(member: AnyMember, rollout: Rollout) -> Generator[PyinfraCommand, None, None]:
    """Takes the host's lock before the first change; yields nothing when there is nothing to change."""
    if member.plan.changes:
        yield FunctionCommand(take_part, (member, rollout), {})


def take_part(state: State, host: Host, member: AnyMember, rollout: Rollout) -> bool:  # noqa: ARG001 - pyinfra's
    """One host's part; False when it is not held."""
    try:
        return member.address in rollout.held(lambda: hold_all(rollout))
    except DeployError as error:
        logger.error("%s%s", host.print_prefix, error)
        return False


def hold_all(rollout: Rollout) -> set[str]:
    """Locks every host that will be changed; returns the addresses of those that are held and can be deployed to.

    The first in order is locked before any other: of two operators who start at the same instant one gets all hosts,
    and the other none, where each might have got some.

    Raises:
        DeployError: what was looked at again does not go together.
    """
    held: set[str] = set()

    def one(member: AnyMember) -> None:
        if take_hold(member, rollout):
            held.add(member.address)

    first, *others = sorted((item for item in rollout.members.values() if item.plan.changes), key=_address)
    one(first)
    if held:
        side_by_side(one, others)
    else:
        for member in others:
            member.say(f"not locked: {first.address} could not be")
    rollout.demand_unity()
    return held


def _address(member: AnyMember) -> str:
    return member.address


def take_hold(member: AnyMember, rollout: Rollout) -> bool:
    """Locks, then looks again: who held the lock before may have changed the host since the plan was made."""
    owner = Owner(rollout.who, f"{rollout.what} of release {member.plan.release}")
    if not member.lock(rollout.token, owner):
        return False
    shown = member.plan
    member.look_again(kept=rollout.kept)
    if member.plan.problems or member.plan != shown:
        logger.warning("%sthe host has changed since the plan was made; it is now:", member.host.print_prefix)
        announce(member)
    return not member.plan.problems
