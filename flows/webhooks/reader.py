"""The one reader of Notion for everybody: what was edited on contacts and records, and which of the next mails may go.

Two calls a minute. Where it does not run, or fails, each send reads for itself: see `edits` and `ahead`.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from flows.sending import ahead
from flows.services.clients import NOTION, notion_client
from flows.services.prefect_api import Prefect

EVERY = timedelta(minutes=1)
ANOTHERS = timedelta(seconds=45)  # a look of another host's that is younger is as good as one's own


def once(now: datetime | None = None) -> bool:
    """Look, and whether it was needed; `now` is by Prefect's clock where none is given.

    Raises NotionError, and what Prefect's client raises.
    """
    with Prefect() as prefect:
        kept = prefect.variable(ahead.LIST)
        now = now or prefect.now()
        if kept and timedelta() <= now - datetime.fromisoformat(kept["looked"]) < ANOTHERS:
            return False
        with notion_client(prefect, prefect.settings(*NOTION)) as notion:
            ahead.look(prefect, notion, now)
    return True
