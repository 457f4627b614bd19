"""What the command lines of this folder share: how they end."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from sandbox.errors import SandboxError
from sandbox.shell import say

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

FAILED, INTERRUPTED = 1, 130


def status_of(work: Callable[[], int]) -> int:
    """Do the work and return its exit status; 1 for an error, which is said, and 130 when interrupted.

    SIGTERM interrupts as Ctrl-C does, so that what was begun is cleared away.
    """
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        return work()
    except SandboxError as error:
        say(f"error: {error}")
        return FAILED
    except PermissionError as error:
        say(f"error: {error}; a sandbox is root's alone; remedy: sudo")
        return FAILED
    except KeyboardInterrupt:
        say("interrupted")
        return INTERRUPTED


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
