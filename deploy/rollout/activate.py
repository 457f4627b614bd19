"""activate: pyinfra's side of the rollout."""

from __future__ import annotations

import atexit
import getpass
import socket
from typing import TYPE_CHECKING, cast

from gevent.event import AsyncResult
from pyinfra import logger
from pyinfra.api import DeployError, FunctionCommand, operation

from deploy.rollout.conductor import conduct
from deploy.rollout.report import announce, conclude
from deploy.state import look

if TYPE_CHECKING:
    from collections.abc import Generator

    from pyinfra.api import Host, State
    from pyinfra.api.command import PyinfraCommand

    from deploy.plan import Plan
    from deploy.rollout.conductor import Outcome
    from deploy.rollout.member import Member


class Rollout:
    """Collects the hosts of one run while pyinfra prepares; the first to be executed conducts for all."""

    def __init__(self) -> None:
        self.members: dict[str, Member] = {}
        self._result: AsyncResult | None = None

    @classmethod
    def shared(cls, state: State) -> Rollout:
        """The one rollout of this run; pyinfra executes the deploy file once for each host, all of them meet here."""
        if "hublab_rollout" not in state.__dict__:
            state.__dict__["hublab_rollout"] = rollout = cls()
            atexit.register(conclude, state, rollout.members)
        return state.__dict__["hublab_rollout"]  # type: ignore[no-any-return]

    def join(self, state: State, member: Member) -> None:
        """Adds a host; with the last one, refuses to go on when any of them cannot be deployed to.

        Raises:
            DeployError: before anything was changed anywhere.
        """
        announce(member)
        self.members[member.wanted.address] = member
        # Two hosts of one name would run workers of one name, and each would answer for the other's.
        twins = [
            other
            for other in self.members.values()
            if member.state.hostname and other.state.hostname == member.state.hostname
        ]
        if len(twins) > 1:
            both = " and ".join(item.wanted.address for item in twins)
            raise DeployError(f"{both} both call themselves {member.state.hostname}. Give each a hostname of its own.")
        if len(self.members) == len(state.active_hosts) and (
            barred := [item for item in self.members.values() if item.plan.problems]
        ):
            raise DeployError(
                f"{len(barred)} of {len(self.members)} hosts cannot be deployed to, see above. Nothing was changed."
            )

    def outcome_for(self, state: State, address: str) -> Outcome:
        """The outcome of one host; waits for the host that conducts, unless it is this one."""
        if self._result is not None:
            return cast("dict[str, Outcome]", self._result.get())[address]
        self._result = AsyncResult()
        try:
            outcomes = conduct(
                [self.members[host.name] for host in state.inventory if host in state.active_hosts], whoami()
            )
        except BaseException as error:
            self._result.set_exception(error)
            raise
        for key, outcome in outcomes.items():
            member = self.members[key]
            member.outcome = outcome
            if member.plan.activates and outcome.reached:
                member.state = look(member.host, member.wanted)
        self._result.set(outcomes)
        return outcomes[address]


def whoami() -> str:
    """Who deploys, and from where."""
    return f"{getpass.getuser()}@{socket.gethostname()}"


@operation()
def activate(plan: Plan, rollout: Rollout) -> Generator[PyinfraCommand, None, None]:
    """Brings what runs to the plan; yields nothing when it is there."""
    if plan.activates:
        yield FunctionCommand(take_part, (rollout, plan), {})


def take_part(state: State, host: Host, rollout: Rollout, plan: Plan) -> bool:
    """One host's part; False when it failed or was not reached."""
    outcome = rollout.outcome_for(state, plan.address)
    if not outcome.ok:
        logger.error("%s%s", host.print_prefix, outcome.reason)
    return outcome.ok
