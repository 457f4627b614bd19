"""The end of a legacy worker: it alone, never its runs; and what started it does not start it again at once."""

from __future__ import annotations

import pwd
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.onhost.common import ask, must, say
from deploy.onhost.processes import send

if TYPE_CHECKING:
    from collections.abc import Iterator

    from deploy.onhost.state import Legacy, LegacyUnit
    from deploy.onhost.wire import Places

from contextlib import contextmanager

PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
QUIET = "[Service]\nRestart=no\nKillMode=process\n"
DROP_IN = "hublab-retire.conf"
USER_SECONDS = 20
END_SECONDS = 30.0


def end(item: Legacy, places: Places) -> None:
    """Ends one worker. A unit that is there for workers is shut out; any other goes on as it is."""
    if item.user_unit:
        quieten_user_unit(item.user_unit, item.uid)
        send(item, signal.SIGKILL)
        return
    if item.unit is None or item.how not in ("unit", "wrapper"):
        send(item, signal.SIGKILL)
        return
    with quietened(item.unit):
        send(item, signal.SIGKILL)
        if item.how == "unit":
            shut_out(item.unit, places)
        await_end(item.unit)
    subprocess.run(["systemctl", "reset-failed", item.unit], check=False, capture_output=True)


@contextmanager
def quietened(unit: str) -> Iterator[None]:
    """Meanwhile systemd neither starts the unit again nor ends its other processes when its main one ends."""
    folder = Path("/run/systemd/system", f"{unit}.d")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / DROP_IN).write_text(QUIET)
    must("systemctl", "daemon-reload")
    try:
        yield
    finally:
        (folder / DROP_IN).unlink(missing_ok=True)
        if not any(folder.iterdir()):
            folder.rmdir()
        must("systemctl", "daemon-reload")


def await_end(unit: str) -> None:
    """Returns when a unit has ended: what started its worker may have something to do yet, and be restarted then."""
    deadline = time.monotonic() + END_SECONDS
    while ask("systemctl", "is-active", unit).strip() in ("active", "activating", "deactivating", "reloading"):
        if time.monotonic() > deadline:
            say(f"{unit} goes on without its worker, and may start another: systemctl stop {unit}")
            return
        time.sleep(0.2)


def shut_out(unit: str, places: Places) -> None:
    """Disables and masks a unit; its file is kept aside."""
    subprocess.run(["systemctl", "disable", "--quiet", unit], check=False, capture_output=True)
    set_aside(unit, places)
    must("systemctl", "mask", "--quiet", unit)


def set_aside(unit: str, places: Places) -> None:
    """Keeps an operator's own unit file where systemd does not read it."""
    path = places.units / unit
    if path.is_symlink() or not path.is_file():
        return
    places.retired.mkdir(parents=True, exist_ok=True)
    shutil.move(path, places.retired / unit)


def come_back(unit: LegacyUnit, places: Places) -> None:
    """A unit that made room, when ours is not there after all; nothing where it has come back already."""
    kept, path = places.retired / unit.name, places.units / unit.name
    if path.exists() or ask("systemctl", "is-active", unit.name).strip() == "active":
        return
    if unit.file == str(path) and kept.is_file():
        kept.rename(path)
        must("systemctl", "daemon-reload")
    for verb in ["enable"] * unit.enabled + ["start"] * unit.active:
        subprocess.run(["systemctl", verb, "--quiet", unit.name], check=False, capture_output=True)
    say(f"{unit.name} serves again as it did before this deploy")


def quieten_user_unit(unit: str, uid: int) -> None:
    """The same in a user's own systemd, until the next boot, done by that user: root neither writes there nor asks."""
    runtime = f"/run/user/{uid}"
    folder = f"{runtime}/systemd/user/{unit}.d"
    script = 'set -e; umask 077; mkdir -p "$1"; printf %s "$2" > "$1/$3"; exec systemctl --user daemon-reload'
    environment = {"PATH": PATH, "XDG_RUNTIME_DIR": runtime}
    try:
        identity = [f"--reuid={uid}", f"--regid={pwd.getpwuid(uid).pw_gid}", "--clear-groups", "--no-new-privs"]
        done = subprocess.run(
            ["setpriv", *identity, "sh", "-c", script, "sh", folder, QUIET, DROP_IN],
            env=environment,
            cwd="/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=USER_SECONDS,
            check=False,
        )
        failed = done.returncode != 0
    except (KeyError, OSError, subprocess.TimeoutExpired):
        failed = True
    if failed:
        say(f"unit {unit} of user {uid} could not be told not to start its worker again")
