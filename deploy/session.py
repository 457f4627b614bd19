"""A session over a connection that stands: sshd may refuse one more (MaxSessions), and grant it a moment later."""

from __future__ import annotations

from typing import TYPE_CHECKING

import gevent
from paramiko import ChannelException

if TYPE_CHECKING:
    from collections.abc import Callable

TRIES, PAUSE_SECONDS = 5, 2.0


def patiently[T](begin: Callable[[], T]) -> T:
    """What `begin` returns. Nothing has begun in a session that was refused: asking again does nothing twice.

    Raises:
        ChannelException: it was refused each time.
    """
    for _ in range(TRIES - 1):
        try:
            return begin()
        except ChannelException:
            gevent.sleep(PAUSE_SECONDS)
    return begin()
