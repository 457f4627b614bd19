"""The lock of one host: who changes it, since when, for which release.

It lies below /run, so a boot frees it. Its holder refreshes it; one that was not refreshed for LEASE_SECONDS, and whose
last step on the host has ended, has lost its owner and may be taken over.
"""

from __future__ import annotations

import fcntl
import json
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deploy.onhost.common import ask, read, say, write_atomically

if TYPE_CHECKING:
    from collections.abc import Iterator

LEASE_SECONDS = 30.0
STEP = "hublab-rollout.service"
LOOK_SECONDS = 0.5


def now() -> float:
    """Seconds since boot: a clock that nobody sets."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@contextmanager
def guarded(folder: Path) -> Iterator[None]:
    """One at a time: who reads the lock and then writes it."""
    folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    with (folder / "guard").open("w") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        yield


def holder(folder: Path) -> dict[str, Any] | None:
    """What the lock says; None when nobody holds it."""
    try:
        found = json.loads(read(folder / "lock"))
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def describe(held: dict[str, Any]) -> str:
    """Who, since when, for what."""
    age = now() - held["refreshed"]
    return f"locked by {held['who']} since {held['since']} for {held['what']} (last sign of life {age:.0f} s ago)"


def orphaned(held: dict[str, Any]) -> bool:
    """Whether the holder has stopped refreshing it."""
    return bool(now() - held["refreshed"] > LEASE_SECONDS)


def step_runs() -> bool:
    """Whether a step that some deploy began still runs on the host."""
    return ask("systemctl", "is-active", STEP).strip() in ("active", "activating", "deactivating", "reloading")


def write(folder: Path, held: dict[str, Any]) -> None:
    """Makes it the lock."""
    write_atomically(folder / "lock", json.dumps(held) + "\n", 0o644)


def take(folder: Path, query: dict[str, Any]) -> int:
    """Takes it; waits for an orphan's lease or its last step to end, never for an owner who is alive."""
    deadline, seen, told = now() + query["patience_seconds"], None, ""
    while True:
        with guarded(folder):
            held, busy = holder(folder), step_runs()
            if not busy and (held is None or orphaned(held) or held["token"] == query["token"]):
                if held and held["token"] != query["token"]:
                    say(f"{describe(held)}: its owner is gone; taken over")
                since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
                write(
                    folder,
                    {**query["owner"], "token": query["token"], "since": since, "began": now(), "refreshed": now()},
                )
                return 0
        if held and seen and held["token"] == seen["token"] and held["refreshed"] > seen["refreshed"]:
            say(f"{describe(held)}. Nothing was changed. Try again later; `make unlock` if you know that it is dead.")
            return 1
        seen = held if seen is None or held is None or held["token"] != seen["token"] else seen
        waiting = "a step of an earlier deploy is still ending; waiting for it" if busy else ""
        waiting = waiting or (f"{describe(held)}; looking whether its owner is alive" if held else "")
        if waiting.partition("(")[0] != told:
            say(waiting)
            told = waiting.partition("(")[0]
        if now() > deadline:
            say(f"{STEP} did not end within {query['patience_seconds']:.0f} s; look at it: systemctl status {STEP}")
            return 1
        time.sleep(LOOK_SECONDS)


def refresh(folder: Path, query: dict[str, Any]) -> int:
    """A sign of life; 1 when the lock is no longer the asker's."""
    with guarded(folder):
        held = holder(folder)
        if held is None or held["token"] != query["token"]:
            return 1
        write(folder, {**held, "refreshed": now()})
    return 0


def release(folder: Path, query: dict[str, Any]) -> int:
    """Gives it back, if it is the asker's."""
    with guarded(folder):
        held = holder(folder)
        if held and held["token"] == query["token"]:
            (folder / "lock").unlink()
    return 0


def unlock(folder: Path, _: dict[str, Any]) -> int:
    """Removes it, whoever holds it, and says who that was."""
    with guarded(folder):
        held = holder(folder)
        (folder / "lock").unlink(missing_ok=True)
    say(f"was {describe(held)}; it is free now" if held else "was not locked")
    if step_runs():
        say(f"a step of that deploy still runs and will end by itself; the next deploy waits for it ({STEP})")
    return 0


def require(query: dict[str, Any]) -> None:
    """Ends a program whose operator has lost the lock meanwhile: somebody else may be at work."""
    held = holder(Path(query["folder"]))
    if held is None or held["token"] != query["token"]:
        say(f"the lock is no longer ours ({describe(held) if held else 'it was removed'}); this step was not begun")
        sys.exit(4)


def main(query: dict[str, Any]) -> int:
    """`phase`: take, refresh, release or unlock."""
    phases = {"take": take, "refresh": refresh, "release": release, "unlock": unlock}
    return phases[query["phase"]](Path(query["folder"]), query)
