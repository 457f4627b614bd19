"""Moves one worker to its new unit: drain, start, gate; or puts back what was there.

Runs to its end even when the operator's machine is gone.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import partial

from deploy.legacy.workers import Room, make_room
from deploy.onhost.before import mark_passed, save
from deploy.onhost.common import HostError, read, say
from deploy.onhost.drop_ins import set_aside
from deploy.onhost.worker_unit import Moves, give_up, move, put_back, verify


@dataclass(frozen=True, kw_only=True)
class RollWorker(Moves):
    """One worker and the text of its unit; `room`: what is ended before, where a unit of others has that name."""

    unit: str
    text: str
    worker: str
    room: Room | None = None


def main(query: RollWorker) -> int:
    """0: moved. 1: put back. 3: could be neither moved nor put back."""
    os.umask(0o022)
    try:
        verify(query.unit, query.text)
        make_room(query.unit, query.places, query.room)
    except (HostError, OSError) as error:
        say(f"{query.worker}: FAILED: {error}; it was not touched")
        return 1
    previous, before = read(query.places.units / query.unit).decode(), query.places.before
    try:
        save(before, query.unit, previous)
        set_aside(query.unit, before)
        move(query, query.unit, query.text)
        mark_passed(before, query.unit, query.text)
    except (HostError, OSError) as error:
        return give_up(query.unit, query.worker, error, partial(put_back, query, query.unit, query.worker, previous))
    return 0
