"""What the webhooks' process does beside answering."""

from __future__ import annotations

import contextvars
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def begun(name: str, work: Callable[[], None]) -> threading.Thread:
    """A thread at work, with the caller's context: Prefect keeps its settings there. It ends with the process."""
    thread = threading.Thread(target=contextvars.copy_context().run, args=(work,), name=name, daemon=True)
    thread.start()
    return thread
