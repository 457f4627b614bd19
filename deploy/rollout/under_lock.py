"""Shell commands of pyinfra's own operations: each runs only while the host's lock is held with this run's token."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyinfra.api import QuoteString, StringCommand

from deploy import spec
from deploy.onhost.lock import LOST, LOST_STATUS
from deploy.remote import LIMIT_SECONDS

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

    from pyinfra.api.command import PyinfraCommand

    from deploy.rollout.member import Member

WAIT_SECONDS = 60
# What `begin` of onhost/lock.py does, for a shell: nobody takes the lock over before the command has ended.
GUARD = (
    "[ -e {folder}/lock ] && {{ exec 8>>{folder}/work 9>>{folder}/guard && flock -w {wait} 8 && flock -w {wait} 9"
    ' && grep -qF \'"token": "{token}"\' {folder}/lock && exec 9>&-; }} 2>/dev/null'
    " || {{ echo '{lost}; this step was not begun' >&2; exit {status}; }}; timeout {limit} sh -c"
)


def under_lock(member: Member, commands: Iterable[PyinfraCommand | str]) -> Generator[PyinfraCommand, None, None]:
    """The same commands, each behind the question whether the lock is still ours; other kinds stay as they are."""
    for command in commands:
        if isinstance(command, str):
            yield StringCommand(guard(member.token), QuoteString(command))
        elif isinstance(command, StringCommand):
            yield StringCommand(guard(member.token), QuoteString(command), **command.connector_arguments)
        else:
            yield command


def guard(token: str) -> str:
    """The shell's words before a command."""
    return GUARD.format(
        folder=spec.LOCK, token=token, wait=WAIT_SECONDS, limit=LIMIT_SECONDS, lost=LOST, status=LOST_STATUS
    )
