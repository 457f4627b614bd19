"""A host leaves: `./hublab decommission host`. Says what goes, what is left."""

import os

from pyinfra import host, state
from pyinfra.api import DeployError

from deploy.leaving import make
from deploy.look import look
from deploy.rollout.activate import Rollout
from deploy.rollout.hold import hold
from deploy.rollout.leave import leave
from deploy.rollout.member import Member

if "LIMIT" not in os.environ:
    raise DeployError("--limit: missing. Name the hosts that leave, as in HUBLAB_HOSTS: ./hublab decommission host.")

wanted = host.data.spec
if wanted.application:
    raise DeployError(f"{wanted.address}: an application of Coolify's leaves by Coolify: delete it there.")
found = look(host, wanted)
member = Member(state.inventory.get_host(host.name), wanted, found, make(wanted, found), planner=make)
rollout = Rollout.shared(state, "decommission", table=False)
rollout.join(state, member)

hold(member=member, rollout=rollout, name="lock: nobody else changes the host meanwhile")
leave(member=member, name="leave: workers drained, everything removed")
