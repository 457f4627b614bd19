"""Waiting until something is so, for a time: the one place where a deadline is counted."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from sandbox.errors import SandboxError

if TYPE_CHECKING:
    from collections.abc import Callable


def wait_for[T](
    look: Callable[[], T | None], what: str | Callable[[], str], limit: float = 240.0, *, every: float = 0.1
) -> T:
    """Look until there is something, and return it.

    Args:
        look: Anything that is true ends the wait; what it raises does too.
        what: What is waited for; called, where it is only known in the end.
        limit: Seconds, after which it is looked at once more.
        every: Seconds between two looks.

    Raises:
        SandboxError: It did not come.
    """
    end = time.monotonic() + limit
    while not (found := look()):
        if time.monotonic() > end:
            raise SandboxError(f"not within {limit:g} s: {what if isinstance(what, str) else what()}")
        time.sleep(every)
    return found
