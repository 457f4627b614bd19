"""The way back: `pyinfra deploy/inventory.py deploy/rollback.py [--data release=ID]`. Builds and downloads nothing."""

from functools import partial

from pyinfra import host, state

from deploy.look import look
from deploy.retreat import make
from deploy.rollout.activate import Rollout, activate
from deploy.rollout.hold import hold
from deploy.rollout.member import Member
from deploy.service.configure import configure

planner = partial(make, release=host.data.get("release") or "")
wanted = host.data.spec
found = look(host, wanted, kept=True)
member = Member(state.inventory.get_host(host.name), wanted, found, planner(wanted, found), planner=planner)

rollout = Rollout.shared(state, "rollback", kept=True, wave=host.data.get("wave", 0))
rollout.join(state, member)

hold(member=member, rollout=rollout, name="lock: nobody else changes the host meanwhile")
configure(member=member, name="configure: user, folders, credential")
activate(member=member, rollout=rollout, name=f"activate: workers, one by one, on release {member.plan.release}")
