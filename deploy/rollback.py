"""The way back: `pyinfra deploy/inventory.py deploy/rollback.py [--data release=ID]`. Builds and downloads nothing."""

from pyinfra import host, state

from deploy.rollout.activate import Rollout, activate
from deploy.rollout.hold import hold
from deploy.rollout.member import Member
from deploy.rollout.members import to_go_back
from deploy.service.configure import configure

# pyinfra takes an id that looks like a number for one.
member = to_go_back(state.inventory.get_host(host.name), host.data.spec, str(host.data.get("release") or ""))

rollout = Rollout.shared(state, "rollback", kept=True, wave=host.data.get("wave", 0))
rollout.join(state, member)

hold(member=member, rollout=rollout, name="lock: nobody else changes the host meanwhile")
if isinstance(member, Member):
    configure(member=member, name="configure: user, folders, credential")
activate(member=member, rollout=rollout, name=f"activate: workers, one by one, on release {member.plan.release}")
