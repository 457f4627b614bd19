"""install: the release is on the host, complete, or the host is as it was."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyinfra import logger
from pyinfra.api import FunctionCommand, StringCommand, operation

from deploy import spec
from deploy.onhost.build_release import BuildRelease
from deploy.release import identity, payload, upload, wheels
from deploy.rollout.under_lock import under_lock

if TYPE_CHECKING:
    from collections.abc import Generator

    from pyinfra.api import Host, State
    from pyinfra.api.command import PyinfraCommand

    from deploy.rollout.member import Member
    from deploy.state import HostState


@operation()
def install(member: Member) -> Generator[PyinfraCommand, None, None]:
    """Builds the release beside what runs, unless it is there."""
    wanted, state, plan = member.wanted, member.state, member.plan
    if not plan.build:
        return
    folders = StringCommand(f"install -d -m 0755 -o root -g root {spec.BASE} {spec.RELEASES} {spec.WHEELS}")
    yield from under_lock(member, [folders])
    yield FunctionCommand(fetch_wheels, (wanted, state), {})
    # Made only then: during preparation, and with --dry, nothing is downloaded.
    yield FunctionCommand(send_and_build, (member,), {})


def platform_of(state: HostState) -> wheels.Platform:
    """The kind of host, as far as wheels care."""
    return wheels.Platform(state.machine, state.python_version, state.libc)


def fetch_wheels(state: State, host: Host, wanted: spec.WorkerHost, found: HostState) -> bool:
    """Brings the wheels to the operator's machine; says why when it cannot."""
    try:
        wheels.wheelhouse(platform_of(found), only_uv=wanted.wheels == "index")
    except wheels.WheelsError as error:
        logger.error("%s%s", host.print_prefix, error)
        return False
    return True


def send_and_build(state: State, host: Host, member: Member) -> bool:
    """Brings the host what it lacks and has it build; the payload's digest goes another way than the payload."""
    wanted, found, plan = member.wanted, member.state, member.plan
    if member.lost:
        return False
    try:
        house = wheels.wheelhouse(platform_of(found), only_uv=wanted.wheels == "index")
        parcel = payload.pack(plan.release, house.without(found.wheels), platform_of(found))
        folder = upload.send(host, parcel.file)
    except (wheels.WheelsError, upload.UploadError) as error:
        logger.error("%s%s", host.print_prefix, error)
        return False
    query = BuildRelease(
        contents=identity.contents(plan.release, found.python_version),
        python=found.python,
        uv=wheels.uv_version(),
        wheels=wanted.wheels,
        keep=tuple(sorted(house.hashes)),
        uv_hashes=tuple(sorted(one for name, known in house.hashes.items() if name.startswith("uv-") for one in known)),
        folders=tuple(identity.SHIPPED),
        guard=identity.GUARD.format(release=f"{spec.RELEASES}/{plan.release}"),
        arrived=folder,
        digest=parcel.digest,
    )
    return member.run(query, detached=True)
