"""The deploy: `pyinfra deploy/inventory.py deploy/workers.py`. Plans; locks, installs, configures, activates."""

from pyinfra import host, state

from deploy import preflight
from deploy.release.bring import bring
from deploy.release.install import install
from deploy.rollout.activate import Rollout, activate
from deploy.rollout.hold import hold
from deploy.rollout.member import Member
from deploy.rollout.members import to_deploy
from deploy.service.configure import configure

# pyinfra's `host` is a stand-in that other greenlets do not see; the lock is kept fresh by one.
member = to_deploy(state.inventory.get_host(host.name), host.data.spec)

preflight.demand(member.wanted, switches=member.plan.switch)
rollout = Rollout.shared(state, wave=host.data.get("wave", 0), plan_file=host.data.get("plan_file") or "")
rollout.join(state, member)

if isinstance(member, Member):
    bring(member=member, name="interpreter: a Python that fits, where the host has none")
hold(member=member, rollout=rollout, name="lock: nobody else changes the host meanwhile")
if isinstance(member, Member):  # an application is built, and told its settings, by Coolify
    # Its id has the Python in it, and which one is brought is only known once it is there.
    named = "the new release" if member.plan.brings else f"release {member.plan.release}"
    install(member=member, name=f"install: {named}")
    configure(member=member, name="configure: user, folders, credential")
activate(member=member, rollout=rollout, name="activate: workers, one by one")
