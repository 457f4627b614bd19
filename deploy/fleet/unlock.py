"""`./hublab unlock`: removes the lock of every host and says whose it was. Nothing that runs is stopped."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from deploy.fleet import applications
from deploy.fleet.connect import ask_all
from deploy.onhost.lock import Lock

if TYPE_CHECKING:
    from deploy.fleet.connect import Host


def unlock(host: Host) -> str:
    """One host's lock; what the host says of it.

    Raises:
        FleetError: it could not be removed.
    """
    return host.ask(Lock(phase="unlock")).strip()


def main() -> int:
    """0, or 1 when a host did not answer."""
    replies = ask_all(unlock, applications.unlock)
    for reply in replies:
        sys.stdout.write(f"{reply.address} {reply.answer or reply.error}\n")
    return 1 if any(reply.error for reply in replies) else 0
