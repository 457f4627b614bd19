"""leave: pyinfra's side of a host's leaving."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyinfra.api import FunctionCommand, operation

from deploy import leaving

if TYPE_CHECKING:
    from collections.abc import Generator

    from pyinfra.api import Host, State
    from pyinfra.api.command import PyinfraCommand

    from deploy.rollout.member import Member


@operation()
def leave(member: Member) -> Generator[PyinfraCommand, None, None]:
    """Yields nothing where nothing is to be removed."""
    if member.plan.leaves:
        yield FunctionCommand(remove, (member,), {})


def remove(state: State, host: Host, member: Member) -> bool:  # noqa: ARG001 - pyinfra's
    """One host's part; with the rest its lock goes too, and the Python that could give it back."""
    if not member.run(leaving.question(member.wanted, member.state), detached=True):
        return False
    member.forget_lock()
    member.say("left: nothing but what is named above. Take it out of HUBLAB_HOSTS")
    return True
