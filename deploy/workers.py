"""The deploy: `pyinfra deploy/inventory.py deploy/workers.py`. Looks, plans; locks, installs, configures, activates."""

from pyinfra import host, state

from deploy import preflight
from deploy.look import look
from deploy.plan import make
from deploy.release.install import install
from deploy.rollout.activate import Rollout, activate
from deploy.rollout.hold import hold
from deploy.rollout.member import Member
from deploy.service.configure import configure

wanted = host.data.spec
found = look(host, wanted)
# pyinfra's `host` is a stand-in that other greenlets do not see; the lock is kept fresh by one.
member = Member(state.inventory.get_host(host.name), wanted, found, make(wanted, found))

preflight.demand(wanted)
rollout = Rollout.shared(state, wave=host.data.get("wave", 0))
rollout.join(state, member)

hold(member=member, rollout=rollout, name="lock: nobody else changes the host meanwhile")
install(member=member, name=f"install: release {member.plan.release}")
configure(member=member, name="configure: user, folders, credential")
activate(member=member, rollout=rollout, name="activate: workers, one by one")
