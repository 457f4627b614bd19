"""Moves the webhooks to their new unit: stop, start, gate; or puts back what was there. Or removes them.

Runs to its end even when the operator's machine is gone. What comes in meanwhile is tried again by who sends it.
"""

from __future__ import annotations

import os
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from deploy.onhost.before import mark_passed, restore_secrets, save
from deploy.onhost.common import HostError, ask, must, read, say
from deploy.onhost.drop_ins import bring_back, set_aside
from deploy.onhost.unit_text import release_folder
from deploy.onhost.worker_unit import Moves, check_process, give_up, put, restart, show, verify

HTTP_OK = 200
START_SECONDS = 150
STEADY_SECONDS = 2.0


@dataclass(frozen=True, kw_only=True)
class RollWebhooks(Moves):
    """The text of their unit, and the file of their secrets; without a text they are to go."""

    unit: str
    secrets: str
    text: str


def gate(unit: str, url: str, release: str, limit: float) -> None:
    """GET /health answers 200, and goes on doing so, from the process that was started.

    Raises:
        HostError: with the last answer.
    """
    before, good, deadline = show(unit), 0.0, time.monotonic() + limit
    while not good or time.monotonic() - good < STEADY_SECONDS:
        answer = health(url)
        if answer == str(HTTP_OK):
            good = good or time.monotonic()
        elif time.monotonic() > deadline:
            raise HostError(f"{url} answered {answer} for {limit:.0f} s")
        else:
            good = 0.0
        time.sleep(0.5)
    check_process(unit, unit, before, release)


def health(url: str) -> str:
    """What /health answers, in a word."""
    # A proxy of the environment's has no business between a host and itself.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=10) as answer:
            return str(answer.status)
    except urllib.error.HTTPError as error:
        return f"{error.code} {error.read()[:300].decode(errors='replace')}"
    except OSError as error:
        return f"nothing ({getattr(error, 'reason', error)})"


def gate_url(text: str) -> str:
    """Where a unit's own text says that it listens, as seen from this host."""
    words = next(line for line in text.splitlines() if line.startswith("ExecStart=")).split()
    bind, port = words[words.index("--host") + 1], words[words.index("--port") + 1]
    local = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(bind, bind)  # noqa: S104 - compared, not bound
    return f"http://{f'[{local}]' if ':' in local else local}:{port}/health"


def release_of(text: str) -> str:
    """The id of the release that a unit's own text starts from."""
    return Path(release_folder(text)).name


def move(query: Moves, unit: str, text: str) -> None:
    """Onto one unit text, through the gate."""
    put(query.places.units / unit, text)
    restart(unit, "webhooks", START_SECONDS, text)
    gate(unit, gate_url(text), release_of(text), query.gate_seconds)
    say(f"webhooks: {gate_url(text)} answers 200 on release {release_of(text)}")


def take_away(query: Moves, unit: str, *more: str) -> None:
    """Stops the webhooks and removes their unit, and more files."""
    must("systemctl", "disable", "--quiet", "--now", unit)
    for path in (query.places.units / unit, *map(Path, more)):
        path.unlink(missing_ok=True)
    must("systemctl", "daemon-reload")
    ask("systemctl", "reset-failed", unit)


def remove(query: RollWebhooks) -> None:
    """Stops the webhooks and removes unit and secrets; what waits in the spool stays."""
    take_away(query, query.unit, query.secrets)
    say("webhooks: stopped and removed; what waits in the spool stays")


def put_back(query: Moves, unit: str, previous: str) -> None:
    """What was there before, credentials first, through its own gate; or nothing, when there was nothing."""
    restore_secrets(query.places.before, query.places.secrets)
    bring_back(unit, query.places.before)
    if previous:
        move(query, unit, previous)
        say(f"webhooks: put back on release {release_of(previous)}")
        return
    take_away(query, unit)
    say("webhooks: were new, and are gone again")


def main(query: RollWebhooks) -> int:
    """0: moved or removed. 1: put back. 3: could be neither moved nor put back."""
    os.umask(0o022)
    if not query.text:
        remove(query)
        return 0
    previous, before = read(query.places.units / query.unit).decode(), query.places.before
    try:
        verify(query.unit, query.text)
        save(before, query.unit, previous)
        set_aside(query.unit, before)
        move(query, query.unit, query.text)
        mark_passed(before, query.unit, query.text)
    except (HostError, OSError) as error:
        return give_up(query.unit, "webhooks", error, partial(put_back, query, query.unit, previous))
    return 0
