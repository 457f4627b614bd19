"""Moves one worker to its new unit: drain, start, gate; or puts back what was there.

Runs to its end even when the operator's machine is gone.
"""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Any

from deploy.legacy.workers import make_room
from deploy.onhost.before import mark_passed, save
from deploy.onhost.common import HostError, read, say
from deploy.onhost.drop_ins import set_aside
from deploy.onhost.worker_unit import give_up, move, put_back, verify


def main(query: dict[str, Any]) -> int:
    """0: moved. 1: put back. 3: could be neither moved nor put back."""
    os.umask(0o022)
    try:
        verify(query["unit"], query["text"])
        make_room(query)
    except (HostError, OSError) as error:
        say(f"{query['worker']}: FAILED: {error}; it was not touched")
        return 1
    previous, before = read(Path(query["units"], query["unit"])).decode(), Path(query["before"])
    try:
        save(before, query["unit"], previous)
        set_aside(query["unit"], before)
        move(query, query["text"])
        mark_passed(before, query["unit"], query["text"])
    except (HostError, OSError) as error:
        return give_up(query["unit"], query["worker"], error, partial(put_back, query, previous))
    return 0
