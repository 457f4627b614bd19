"""What says that a mail went out leaves Prefect's variables an hour later; `flows.sending.frozen` says why."""

from __future__ import annotations

from datetime import timedelta

from flows.sending import frozen
from flows.services.prefect_api import Prefect

EVERY = timedelta(minutes=10)


def once() -> int:
    """Archive up to a thousand mails; how many. Raises what Prefect's client raises."""
    with Prefect() as prefect:
        return frozen.archive(prefect, prefect.now())
