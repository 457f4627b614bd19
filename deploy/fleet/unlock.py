"""`make unlock`: removes the lock of every host and says whose it was. Nothing that runs is stopped."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from pyinfra.api import StringCommand

from deploy import spec
from deploy.fleet.connect import ask_all
from deploy.remote import launcher, program

if TYPE_CHECKING:
    from pyinfra.api import Host


def unlock(host: Host, wanted: spec.WorkerHost) -> str:
    """One host's lock; what the host says of it.

    Raises:
        RuntimeError: it could not be removed.
    """
    text = program("lock", {"phase": "unlock", "folder": spec.LOCK})
    done, output = host.run_shell_command(StringCommand(launcher(wanted.python)), _stdin=text, _sudo=False)
    if not done:
        raise RuntimeError(output.output[-400:])
    return output.stdout


def main() -> int:
    """0, or 1 when a host did not answer."""
    replies = ask_all(unlock)
    for reply in replies:
        sys.stdout.write(f"{reply.address} {reply.answer or reply.error}\n")
    return 1 if any(reply.error for reply in replies) else 0
