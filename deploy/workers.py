"""The deploy: `pyinfra deploy/inventory.py deploy/workers.py`. Looks, plans; then installs, configures, activates."""

from pyinfra import host, state

from deploy import preflight
from deploy.plan import make
from deploy.release.install import install
from deploy.rollout.activate import Rollout, activate
from deploy.rollout.member import Member
from deploy.service.configure import configure
from deploy.state import look

wanted = host.data.spec
found = look(host, wanted)
plan = make(wanted, found)

preflight.demand(wanted)
rollout = Rollout.shared(state)
rollout.join(state, Member(host, wanted, found, plan))

install(wanted=wanted, state=found, plan=plan, name=f"install: release {plan.release}")
configure(wanted=wanted, plan=plan, name="configure: user, folders, credential")
activate(plan=plan, rollout=rollout, name="activate: workers, one by one")
