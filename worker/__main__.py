"""`python -P -s -m worker`: one worker, told by its environment what to do (see `worker.settings`).

Exit status: 0 after a drain; 78 when a setting is wrong or uvloop is importable; 70 when a foreign event-loop policy
took over the running process, or its output was shut; 75 when a run could not be handed back because the API was away.
"""

from __future__ import annotations

import gc
import importlib.util
import os
import sys
from pathlib import Path

from worker import event_loop
from worker.settings import EX_CONFIG, SettingError, from_environment
from worker.system_calls import set_dumpable
from worker.systemd import Notifier

# Prefect's own settings, for the engines as well; whoever sets them in the unit's environment is heard.
_DEFAULTS = {
    "PREFECT_WORKER_QUERY_SECONDS": "2",
    # Three missed heartbeats make a worker OFFLINE.
    "PREFECT_WORKER_HEARTBEAT_SECONDS": "15",
    # One batch for most runs; whoever follows a long one reads its lines some seconds later.
    "PREFECT_LOGGING_TO_API_BATCH_INTERVAL": "5",
    # A run's own HOME is another one; the storage of results stays where it is.
    "PREFECT_HOME": os.path.expanduser("~/.prefect"),  # noqa: PTH111 - where there is no home, it stays as it is
}


def main() -> int:
    """Check, then work until told to stop. Returns the exit status."""
    set_dumpable(dumpable=False)
    try:
        settings = from_environment(os.environ)
    except SettingError as error:
        return _refuse(str(error))
    if fault := event_loop.uvloop_fault():
        return _refuse(fault)
    event_loop.shut_uvloop_out()
    os.chdir("/")  # Prefect reads .env, prefect.toml and pyproject.toml where it is
    for key, value in _DEFAULTS.items():
        os.environ.setdefault(key, value)
    os.environ.setdefault("PREFECT_LOGGING_SETTINGS_PATH", _logging_configuration())
    notifier = Notifier.from_environment(os.environ)
    notifier.send(f"STATUS=starting, release {settings.release}")

    # Both import Prefect, side by side, for seconds which a refusal need not wait for.
    from worker.forking import ForkServer  # noqa: PLC0415

    fork_server = ForkServer()
    fork_server.start()

    gc.disable()  # while it imports, which leaves no rubbish, looking for some takes a tenth of the CPU time
    from worker.lifecycle import run  # noqa: PLC0415

    gc.freeze()
    gc.enable()
    return run(settings, notifier, fork_server)


def _logging_configuration() -> str:
    """Prefect's own: one in PREFECT_HOME could name any function to call, and runs of former releases wrote there."""
    prefect = importlib.util.find_spec("prefect")
    (folder,) = (prefect and prefect.submodule_search_locations) or [""]
    return str(Path(folder, "logging", "logging.yml"))


def _refuse(fault: str) -> int:
    sys.stderr.write(f"worker: {fault}\n")
    return EX_CONFIG


if __name__ == "__main__":
    sys.exit(main())
