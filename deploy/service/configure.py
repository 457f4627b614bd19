"""configure: user and folders are as they must be; the credentials come with the rollout, and go back with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyinfra.api import StringCommand, operation
from pyinfra.operations import files

from deploy.plan import MODES
from deploy.rollout.under_lock import under_lock

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from pyinfra.api.command import PyinfraCommand

    from deploy.rollout.member import Member


@operation()
def configure(member: Member) -> Generator[PyinfraCommand, None, None]:
    """Creates and mends what the plan found absent or wrong."""
    yield from under_lock(member, changes(member))


def changes(member: Member) -> Generator[PyinfraCommand, None, None]:
    """The same in pyinfra's own operations."""
    plan = member.plan
    if plan.create_users:
        yield create_users(plan.create_users)
    for path in plan.fix_paths:
        if path not in plan.secrets:  # they come with the rollout
            yield from files.directory._inner(path=path, user="root", group="root", mode=MODES[path].lstrip("0"))


def create_users(names: Sequence[str]) -> StringCommand:
    """System users without a home or a shell, by systemd's own means; one that is there is left as it is."""
    lines = "".join(f'u {name} - "Hublab" / /usr/sbin/nologin\n' for name in names)
    return StringCommand("systemd-sysusers -", _stdin=lines)
