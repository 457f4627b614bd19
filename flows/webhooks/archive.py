"""What says that a mail went out leaves Prefect's variables an hour later; `flows.sending.frozen` says why."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from flows.sending import frozen
from flows.services.prefect_api import Prefect

if TYPE_CHECKING:
    from flows.webhooks.background import Wait

EVERY = timedelta(minutes=10)
PAUSE = 2.0  # seconds between two batches, each a second of the server's: the mails that are due go first


def once(wait: Wait = lambda _: False) -> int:
    """Archive what is old; how many mails. Raises what Prefect's client raises."""
    with Prefect() as prefect:
        return frozen.archive(prefect, prefect.now(), lambda: wait(PAUSE))
