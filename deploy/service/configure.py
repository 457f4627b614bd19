"""configure: user, folders and the credential are as they must be."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyinfra.api import StringCommand, operation
from pyinfra.operations import files, server

from deploy import spec
from deploy.plan import MODES

if TYPE_CHECKING:
    from collections.abc import Generator

    from pyinfra.api.command import PyinfraCommand

    from deploy.rollout.member import Member


@operation()
def configure(member: Member) -> Generator[PyinfraCommand, None, None]:
    """Creates and mends what the plan found absent or wrong."""
    wanted, plan = member.wanted, member.plan
    if plan.create_user:
        yield from server.user._inner(
            user=spec.USER, system=True, home=spec.STATE, ensure_home=False, shell="/usr/sbin/nologin"
        )
    secret = wanted.secret_files()
    for path in plan.fix_paths:
        if path in secret:
            yield keep_file(path, spec.BEFORE)
            yield secret_file(path, secret[path])
        else:
            yield from files.directory._inner(path=path, user="root", group="root", mode=MODES[path].lstrip("0"))


def keep_file(path: str, folder: str) -> StringCommand:
    """Keeps a file as it was before this rollout, so that a roll-back finds it; the first copy stays."""
    kept = f"{folder}/{path.rpartition('/')[2]}"
    script = f"[ -e {kept} ] || [ ! -e {path} ] || {{ install -d -m 0700 {folder} && cp -p {path} {kept}; }}"
    return StringCommand(script)


def secret_file(path: str, content: str) -> StringCommand:
    """Writes a root-only file in one step: it is never there half written, nor for a moment readable by others.

    The content travels on standard input: it is in no argument list, no log and no file outside the target's folder.
    """
    script = (
        f"umask 077; t=$(mktemp {path}.XXXXXX) && cat > $t && chown root:root $t && sync $t && mv $t {path}"
        " || { rm -f $t; exit 1; }"
    )
    return StringCommand(script, _stdin=content)
