"""activate: pyinfra's side of the rollout."""

from __future__ import annotations

import getpass
import json
import os
import secrets
import socket
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from pyinfra import logger
from pyinfra.api import DeployError, FunctionCommand, operation
from pyinfra.api.state import BaseStateCallback

from deploy import others
from deploy.onhost.common import counted
from deploy.rollout.conductor import Conductor
from deploy.rollout.once import Once, side_by_side
from deploy.rollout.report import announce, as_data, conclude, warn

if TYPE_CHECKING:
    from collections.abc import Generator

    from pyinfra.api import Host, State
    from pyinfra.api.command import PyinfraCommand

    from deploy.rollout.machine import Outcome
    from deploy.rollout.members import AnyMember


class Rollout:
    """Collects the hosts of one run while pyinfra prepares; the first to be executed conducts for all."""

    def __init__(self, what: str = "deploy", *, kept: bool = False, most: int = 0, plan_file: str = "") -> None:
        """`what`: the word for lock and audit line; `kept`: whether the plan needs the units of former releases.

        `most`: how many hosts go side by side at the most; 0 for no bound. `plan_file`: where the plan goes as JSON.
        """
        self.plan_file = plan_file
        self.what, self.kept, self.most, self.who, self.token = what, kept, most, whoami(), secrets.token_hex(8)
        self.members: dict[str, AnyMember] = {}
        self.held: Once[set[str]] = Once()
        self.conducted: Once[dict[str, Outcome]] = Once()

    @classmethod
    def shared(  # noqa: PLR0913 - what a run can be
        cls,
        state: State,
        what: str = "deploy",
        *,
        kept: bool = False,
        wave: object = 0,
        plan_file: str = "",
        table: bool = True,
    ) -> Rollout:
        """The one rollout of this run; pyinfra executes the deploy file once for each host, all of them meet here.

        Raises:
            DeployError: `wave`, what --wave says, is not a number of hosts.
        """
        if not str(wave).isdecimal():
            raise DeployError(f"--wave: {wave} is not a number of hosts; leave it out for no bound")
        if state not in _SHARED:
            _SHARED[state] = rollout = cls(what, kept=kept, most=int(str(wave)), plan_file=plan_file)
            state.add_callback_handler(HangUp(rollout, table=table))  # type: ignore[no-untyped-call]
        return _SHARED[state]

    def join(self, state: State, member: AnyMember) -> None:
        """Adds a host; with the last one, refuses to go on when any of them cannot be deployed to.

        Raises:
            DeployError: before anything was changed anywhere.
        """
        announce(member, warned=False)
        self.members[member.address] = member
        if len(self.members) < len(state.active_hosts):
            return
        warn(self.members.values())
        for line in self._of_nobody(state):
            logger.warning("warning: %s", line)
        if self.plan_file:
            plans = [as_data(item) for item in self.members.values()]
            Path(self.plan_file).write_text(json.dumps(plans), encoding="utf-8")
        if barred := [item for item in self.members.values() if item.plan.problems]:
            raise DeployError(
                f"{len(barred)} of {counted(len(self.members), 'host', 'hosts')} cannot be deployed to, see above. "
                "Nothing was changed."
            )
        self.demand_unity()

    def _of_nobody(self, state: State) -> list[str]:
        """Workers of nobody that a plan of the whole fleet has seen; of a part of it, they may be the others'."""
        if self.what != "deploy" or "LIMIT" in os.environ or len(self.members) < len(state.inventory):
            return []
        return others.told(member.polled for member in self.members.values() if member.polled.pool)

    def demand_unity(self) -> None:
        """Refuses hosts that do not go together.

        Raises:
            DeployError: two of them have one name, or they would go back to different locks or code.
        """
        # Two hosts of one name would run workers of one name, and each would answer for the other's.
        names: dict[str, str] = {}
        for address, member in self.members.items():
            if twin := names.get(member.name):
                raise DeployError(
                    f"{twin} and {address} both call themselves {member.name}. Give each a hostname of its own."
                )
            if member.name:
                names[member.name] = address
        if self.what == "rollback" and len({item.plan.content for item in self.members.values()}) > 1:
            raise DeployError(
                "The hosts would go back to different releases, of other locks or code: see above. Nothing changed. "
                "Name one with --to, or take the hosts one at a time with --limit."
            )

    def outcome_for(self, state: State, address: str) -> Outcome:
        """The outcome of one host; waits for the host that conducts, unless it is this one."""
        return self.conducted(lambda: self._conduct(state))[address]

    def _conduct(self, state: State) -> dict[str, Outcome]:
        hosts = [self.members[host.name] for host in state.inventory if host in state.active_hosts]
        conductor = Conductor(hosts, self.who, self.what, side_by_side)
        for member in hosts:
            member.outcome = conductor.of(member)  # at once: the table of a run that is interrupted needs it too
        conductor.run(self.most)
        side_by_side(see, [member for member in hosts if member.outcome and member.outcome.reached])
        return conductor.outcomes


def see(member: AnyMember) -> None:
    """What is there after the rollout, for the table; a host that does not say it has failed."""
    try:
        member.see()
    except Exception as error:  # noqa: BLE001 - whatever it is: the table says so, and the other hosts have theirs
        member.unseen = True
        if member.outcome:
            member.outcome.fail(f"it could not be looked at afterwards ({error})")


def whoami() -> str:
    """Who deploys, and from where."""
    return f"{getpass.getuser()}@{socket.gethostname()}"


class HangUp(BaseStateCallback):
    """When pyinfra hangs up, however the run ended: gives the locks back, while the connection is still there.

    Behind the last host comes the `table`, where one is wanted.
    """

    def __init__(self, rollout: Rollout, *, table: bool) -> None:
        self._rollout, self._table, self._left = rollout, table, set[str]()

    def host_disconnect(self, state: State, host: Host) -> None:  # type: ignore[override]
        """One host's lock."""
        members = self._rollout.members
        if host.name in members:
            members[host.name].unlock()
            self._left.add(host.name)
            if self._table and self._left == members.keys():
                conclude(state, members)


_SHARED: WeakKeyDictionary[State, Rollout] = WeakKeyDictionary()


@operation()
def activate(member: AnyMember, rollout: Rollout) -> Generator[PyinfraCommand, None, None]:
    """Brings what runs to the plan; yields nothing when it is there."""
    if member.plan.activates:
        yield FunctionCommand(take_part, (rollout, member), {})


def take_part(state: State, host: Host, rollout: Rollout, member: AnyMember) -> bool:
    """One host's part; False when it failed or was not reached."""
    try:
        outcome = rollout.outcome_for(state, member.address)
    except DeployError as error:
        logger.error("%s%s", host.print_prefix, error)
        return False
    if not outcome.ok:
        logger.error("%s%s", host.print_prefix, outcome.reason)
    return outcome.ok
