"""install: the release is on the host, complete, or the host is as it was."""

from __future__ import annotations

import hashlib
import io
import tarfile
from typing import TYPE_CHECKING, Any

from pyinfra import logger
from pyinfra.api import FileUploadCommand, FunctionCommand, StringCommand, operation

from deploy import spec
from deploy.release import identity, scratch, wheels
from deploy.rollout.under_lock import under_lock

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from pyinfra.api import Host, State
    from pyinfra.api.command import PyinfraCommand

    from deploy.plan import Plan
    from deploy.rollout.member import Member
    from deploy.state import HostState

PUSH = scratch.SCRATCH / "push"


@operation()
def install(member: Member) -> Generator[PyinfraCommand, None, None]:
    """Builds the release beside what runs, unless it is there."""
    wanted, state, plan = member.wanted, member.state, member.plan
    if not plan.build:
        return
    folders = StringCommand(f"install -d -m 0755 -o root -g root {spec.BASE} {spec.RELEASES} {spec.WHEELS}")
    yield from under_lock(member, [folders])
    yield FunctionCommand(fetch_wheels, (wanted, state), {})
    # Another deploy's payload has another name: who has lost the lock overwrites nothing.
    payload = f"{spec.BASE}/.payload-{member.token}.tar"
    # Made only now: during preparation, and with --dry, nothing is downloaded.
    yield FileUploadCommand(str(payload_for(wanted, state, plan)), payload)
    query = build_query(wanted, state, plan) | {"payload": payload}
    yield FunctionCommand(build, (member, query), {})


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


def payload_for(wanted: spec.WorkerHost, state: HostState, plan: Plan) -> Path:
    """One archive of what the host lacks: wheels, code and lock; hosts that lack the same share it."""
    missing = [
        path
        for path in wheels.wheelhouse(platform_of(state), only_uv=wanted.wheels == "index")
        if path.name not in state.wheels
    ]
    key = hashlib.sha256("\n".join([plan.release, *(path.name for path in missing)]).encode()).hexdigest()[:16]
    archive = PUSH / f"{key}.tar"
    with scratch.alone(scratch.SCRATCH):
        if archive.exists():
            archive.touch()
        else:
            archive.parent.mkdir(parents=True, exist_ok=True)
            scratch.prune(PUSH, "*.tar")
            _write_archive(archive, missing, wheels.concrete_lock(identity.LOCK.read_text(), platform_of(state)))
    return archive


def _write_archive(archive: Path, missing: list[Path], lock: str) -> None:
    fresh = archive.with_suffix(".partial")
    with tarfile.open(fresh, "w") as tar:
        for path in missing:
            tar.add(path, f"wheels/{path.name}")
        for name, content in {"requirements.lock": lock.encode(), **identity.shipped_code().files}.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), 0o644
            tar.addfile(member, io.BytesIO(content))
    fresh.rename(archive)


def build(state: State, host: Host, member: Member, query: dict[str, Any]) -> bool:
    """Has the host build it."""
    return member.run("build_release", query, detached=True)


def build_query(wanted: spec.WorkerHost, found: HostState, plan: Plan) -> dict[str, Any]:
    """What `build_release.py` is asked."""
    house = wheels.wheelhouse(platform_of(found), only_uv=wanted.wheels == "index")
    return {
        "base": spec.BASE,
        "release": plan.release,
        "python": found.python,
        "python_version": found.python_version,
        "prefect": identity.locked_versions()["prefect"],
        "uv": wheels.uv_version(),
        "wheels": wanted.wheels,
        "keep": [path.name for path in house],
        "folders": list(identity.SHIPPED),
        "code": identity.shipped_code().digest,
        "code_files": sorted(identity.shipped_code().files),
        "guard": identity.GUARD.format(release=f"{spec.RELEASES}/{plan.release}"),
    }
