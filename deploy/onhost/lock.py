"""The lock of one host: who changes it, since when, for which release.

It lies below /run, so a boot frees it. Its holder refreshes it; one that was not refreshed for LEASE_SECONDS, and whose
last step on the host has ended, has lost its owner and may be taken over.

A step holds `work` from the moment at which it finds the lock to be its owner's until it ends, and nobody takes the
lock over meanwhile: who has lost the lock writes nothing. Root alone can open these files, so that nobody else can hold
them.
"""

from __future__ import annotations

import fcntl
import json
import math
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TextIO

from deploy.onhost.common import read, say, write_atomically
from deploy.onhost.wire import Query, encode

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LEASE_SECONDS = 30.0
LOOK_SECONDS = 0.5
LOST = "the lock is no longer ours"
LOST_STATUS = 4


@dataclass(frozen=True)
class Owner:
    """Who deploys, and what."""

    who: str
    what: str


@dataclass(frozen=True)
class Held(Owner):
    """What the lock says. `since` is for people; `began` and `refreshed` are seconds since boot."""

    token: str
    since: str
    began: float
    refreshed: float


@dataclass(frozen=True, kw_only=True)
class Lock(Query):
    """`phase`: take, refresh, release or unlock; to take it, the owner and how long an orphan's is waited for.

    `mine`: the token that the lock has, or shall have.
    """

    phase: str
    mine: str = ""
    owner: Owner | None = None
    patience_seconds: float = 0


def now() -> float:
    """Seconds since boot: a clock that nobody sets."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@contextmanager
def guarded(folder: Path, *, make: bool = False) -> Iterator[None]:
    """One at a time: who reads the lock and then writes it. Who does not take it makes no folder: none, no lock."""
    if make:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
    try:
        guard = (folder / "guard").open("w")
    except FileNotFoundError:
        yield
        return
    with guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        yield


def try_work(folder: Path) -> TextIO | None:
    """The right to change the host, as long as the file stays open; None while a step has it."""
    work = (folder / "work").open("w")
    try:
        fcntl.flock(work, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        work.close()
        return None
    return work


def at_work(folder: Path) -> bool:
    """Whether a step that some deploy began still runs on the host; to be asked under the guard."""
    try:
        work = try_work(folder)
    except FileNotFoundError:
        return False
    if work:
        work.close()
    return work is None


def holder(folder: Path) -> Held | None:
    """What the lock says; None when nobody holds it."""
    try:
        found = json.loads(read(folder / "lock"))
        held = Held(*(found[one] for one in ("who", "what", "token", "since", "began", "refreshed")))
    except (ValueError, TypeError, KeyError):
        return None
    # What never ages would be held for ever: JSON, as Python reads it, knows NaN and Infinity.
    return held if type(held.refreshed) in (int, float) and math.isfinite(held.refreshed) else None


def describe(held: Held) -> str:
    """Who, since when, for what."""
    age = now() - held.refreshed
    return f"locked by {held.who} since {held.since} for {held.what} (last sign of life {age:.0f} s ago)"


def orphaned(held: Held) -> bool:
    """Whether the holder has stopped refreshing it."""
    return now() - held.refreshed > LEASE_SECONDS


def write(folder: Path, held: Held) -> None:
    """Makes it the lock."""
    write_atomically(folder / "lock", encode(held) + "\n", 0o644)


def take(folder: Path, query: Lock) -> int:
    """Takes it; waits for an orphan's lease or its last step to end, never for an owner who is alive."""
    owner = query.owner or Owner("unknown", "unknown")
    deadline, seen, told = now() + query.patience_seconds, None, ""
    while True:
        with guarded(folder, make=True):
            held, busy = holder(folder), at_work(folder)
            if not busy and (held is None or orphaned(held) or held.token == query.mine):
                if held and held.token != query.mine:
                    say(f"{describe(held)}: its owner is gone; taken over")
                since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
                write(folder, Held(owner.who, owner.what, query.mine, since, began=now(), refreshed=now()))
                return 0
        if held and seen and held.token == seen.token and held.refreshed > seen.refreshed:
            say(f"{describe(held)}. Nothing was changed. Try again later; `./hublab unlock` if you know it is dead.")
            return 1
        seen = held if seen is None or held is None or held.token != seen.token else seen
        waiting = "a step of an earlier deploy is still ending; waiting for it" if busy else ""
        waiting = waiting or (f"{describe(held)}; looking whether its owner is alive" if held else "")
        if waiting.partition("(")[0] != told:
            say(waiting)
            told = waiting.partition("(")[0]
        if now() > deadline:
            remedy = "look at it: systemctl status 'hublab-rollout-*'"
            say(f"a step of an earlier deploy did not end within {query.patience_seconds:.0f} s; {remedy}")
            return 1
        time.sleep(LOOK_SECONDS)


def refresh(folder: Path, query: Lock) -> int:
    """A sign of life; 1 when the lock is no longer the asker's."""
    with guarded(folder):
        held = holder(folder)
        if held is None or held.token != query.mine:
            say(lost(held))
            return 1
        write(folder, replace(held, refreshed=now()))
    return 0


def release(folder: Path, query: Lock) -> int:
    """Gives it back, if it is the asker's."""
    with guarded(folder):
        held = holder(folder)
        if held and held.token == query.mine:
            (folder / "lock").unlink()
    return 0


def unlock(folder: Path, _: Lock) -> int:
    """Removes it, whoever holds it, and says who that was."""
    with guarded(folder):
        held = holder(folder)
        (folder / "lock").unlink(missing_ok=True)
    say(f"was {describe(held)}; it is free now" if held else "was not locked")
    if at_work(folder):
        say("a step of that deploy still runs and will end by itself; the next deploy waits for it")
    return 0


def lost(held: Held | None) -> str:
    """That the asker has lost its lock, and to whom."""
    free = "it was removed, or the host was booted, or somebody had it meanwhile"
    return f"{LOST}: {describe(held) if held else free}"


def begin(folder: Path, token: str, *, looks: bool) -> TextIO | None:
    """The right to change the host, for a step of the lock's holder; a step of its own that still runs is waited for.

    Ends the program when the lock is not the asker's any more: somebody else may be at work. A step that only looks
    (`looks`) is not begun then either, but keeps nobody from anything.
    """
    told = False
    while True:
        with guarded(folder):
            held = holder(folder)
            if held is None or held.token != token:
                say(f"{lost(held)}; this step was not begun")
                sys.exit(LOST_STATUS)
            if looks:
                return None
            if work := try_work(folder):
                return work
        if not told:
            say("an earlier step of this deploy still runs on the host; waiting for its end")
            told = True
        time.sleep(LOOK_SECONDS)


def main(query: Lock) -> int:
    """One phase."""
    phases = {"take": take, "refresh": refresh, "release": release, "unlock": unlock}
    return phases[query.phase](query.places.lock, query)
