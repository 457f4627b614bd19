"""Control-C ends a command of pyinfra's at once, and with a status that says so.

pyinfra's own handler ends it with status 0, as if all had been done; and raised in the greenlet that happens to be at
work, it may end that one alone, and the deploy goes on.
"""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType

SAID = b"\nInterrupted: what a host had begun, it ends by itself. `./hublab status` says how things are.\n"


def end_at_once() -> None:
    """From now on, in this process; called after pyinfra has set its handler."""
    signal.signal(signal.SIGINT, _end)


def _end(_number: int, _frame: FrameType | None) -> None:
    os.write(2, SAID)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGINT)
