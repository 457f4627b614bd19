"""`python -m worker`: one worker, told by its environment what to do (see `worker.settings`).

Exit status: 0 after a drain; 78 when a setting is wrong or uvloop is importable; 70 when a foreign event-loop policy
took over the running process; 75 when a run could not be handed back because the API was away.
"""

from __future__ import annotations

import os
import sys

from worker import event_loop
from worker.settings import EX_CONFIG, SettingError, from_environment
from worker.systemd import Notifier

# Prefect's own settings, for the engines as well; whoever sets them in the unit's environment is heard.
_DEFAULTS = {
    "PREFECT_WORKER_QUERY_SECONDS": "5",
    # Three missed heartbeats make a worker OFFLINE.
    "PREFECT_WORKER_HEARTBEAT_SECONDS": "15",
}


def main() -> int:
    """Check, then work until told to stop. Returns the exit status."""
    try:
        settings = from_environment(os.environ)
    except SettingError as error:
        return _refuse(str(error))
    if fault := event_loop.uvloop_fault():
        return _refuse(fault)
    event_loop.shut_uvloop_out()
    for key, value in _DEFAULTS.items():
        os.environ.setdefault(key, value)
    notifier = Notifier.from_environment(os.environ)
    notifier.send(f"STATUS=starting, release {settings.release}")

    # Both import Prefect, side by side, for seconds which a refusal need not wait for.
    from worker.forking import ForkServer  # noqa: PLC0415

    fork_server = ForkServer()
    fork_server.start()

    from worker.lifecycle import run  # noqa: PLC0415

    return run(settings, notifier, fork_server)


def _refuse(fault: str) -> int:
    sys.stderr.write(f"worker: {fault}\n")
    return EX_CONFIG


if __name__ == "__main__":
    sys.exit(main())
