"""The hosts of a run, each of its kind."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from deploy import plan, retreat
from deploy.look import look
from deploy.rollout.member import Member

if TYPE_CHECKING:
    from pyinfra.api import Host

    from deploy.coolify.member import ApplicationMember
    from deploy.spec import WorkerHost

type AnyMember = Member | ApplicationMember


def to_deploy(host: Host, wanted: WorkerHost) -> AnyMember:
    """A host that was looked at, with the plan of a deploy."""
    if wanted.application:
        return _application(host, wanted)
    found = look(host, wanted)
    return Member(host, wanted, found, plan.make(wanted, found))


def to_go_back(host: Host, wanted: WorkerHost, release: str) -> AnyMember:
    """The same with the plan of a way back, to `release` or, where it is empty, to the one before."""
    if wanted.application:
        return _application(host, wanted, back_to=release)
    found, planner = look(host, wanted, kept=True), partial(retreat.make, release=release)
    return Member(host, wanted, found, planner(wanted, found), planner=planner)


def _application(host: Host, wanted: WorkerHost, back_to: str | None = None) -> ApplicationMember:
    from deploy.coolify import plan as planning  # noqa: PLC0415 - its client is imported where there is an application
    from deploy.coolify.look import client  # noqa: PLC0415
    from deploy.coolify.member import ApplicationMember  # noqa: PLC0415
    from deploy.coolify.mover import Mover  # noqa: PLC0415
    from deploy.coolify.prefect import Prefect  # noqa: PLC0415

    def say(text: str) -> None:
        member.say(text)

    planner = planning.make if back_to is None else partial(planning.back, source=back_to)
    member = ApplicationMember(host, wanted, Mover(wanted, client(wanted), Prefect(wanted.api_access()), say), planner)
    return member
